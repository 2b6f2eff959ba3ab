//go:build e2e

package units

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestExamples starts each example application as its unit does and asks for
// its pages.
func TestExamples(t *testing.T) {
	for _, tt := range []struct {
		name    string
		command func(t *testing.T, port string) []string
	}{
		{"flask-clock", func(t *testing.T, port string) []string {
			return []string{python(t), "-m", "flask", "--app", "app", "run", "--host", "127.0.0.1", "--port", port}
		}},
		{"node-clock", func(t *testing.T, _ string) []string { return []string{need(t, "node"), "server.js"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := freePort(t)
			args := tt.command(t, port)
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir = root + "/examples/" + tt.name
			cmd.Env = append(os.Environ(), "PORT="+port, "NAME=clock-7", "PYTHONDONTWRITEBYTECODE=1")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan error, 1)
			go func() { exited <- cmd.Wait() }()
			defer func() { _ = cmd.Process.Kill() }()

			url := "http://127.0.0.1:" + port
			awaitResponse(t, url+"/healthz", exited)
			if status, body := get(t, url+"/"); status != 200 || !strings.Contains(body, `<img src="/images/clock.svg"`) || !strings.Contains(body, "clock-7") {
				t.Errorf("/ responds with %d %s", status, body)
			}
			status, body := get(t, url+"/api/time")
			var reading struct {
				Time    time.Time
				Unix    int64
				Replica string
			}
			if err := json.Unmarshal([]byte(body), &reading); err != nil || status != 200 {
				t.Fatalf("/api/time responds with %d %s: %v", status, body, err)
			}
			if reading.Replica != "clock-7" || reading.Unix == 0 || reading.Time.Unix() != reading.Unix {
				t.Errorf("reading %+v", reading)
			}
			// A name that every JavaScript object has is a page like any other.
			for _, path := range []string{"/nothing", "/constructor"} {
				if status, _ := get(t, url+path); status != 404 {
					t.Errorf("%s responds with %d, want 404", path, status)
				}
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case <-exited:
			case <-time.After(20 * time.Second):
				t.Error("does not end after SIGTERM")
			}
		})
	}
}

// python returns an interpreter that has Flask, the distribution's own first.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", "import flask").Run() == nil {
			return name
		}
	}
	t.Skip("no python3 has Flask (python3-flask): the Flask example was not tested")
	return ""
}

func awaitResponse(t *testing.T, url string, exited <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(resp.Status)
		}
		select {
		case exit := <-exited:
			t.Fatalf("ended before it responded: %v", exit)
		case <-ctx.Done():
			t.Fatalf("%s never responded with 200: %v", url, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
