package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/lbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// served finds the address in the program's first line.
var served = regexp.MustCompile(`serves (http://\S+)`)

// start runs the program on a free port and returns its URL, a function that stops it, and its exit status.
func start(t *testing.T, args ...string) (url string, stop func(), status <-chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	done := make(chan int, 1)
	var out lbtest.Output
	go func() { done <- run(ctx, append([]string{"-listen", "127.0.0.1:0"}, args...), &out) }()
	eventually(t, "an address in the output", func() bool { return served.MatchString(out.String()) })
	return served.FindStringSubmatch(out.String())[1], cancel, done
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
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

func TestServesUnderItsName(t *testing.T) {
	url, stop, status := start(t, "-name", "clock-7")
	if code, body := get(t, url+"/api/time"); code != 200 || !strings.Contains(body, `"replica":"clock-7"`) {
		t.Errorf("%d %s", code, body)
	}
	if got := run(t.Context(), []string{"-healthcheck", url + "/healthz"}, io.Discard); got != 0 {
		t.Errorf("healthcheck of a healthy replica exits %d", got)
	}
	stop()
	if got := <-status; got != 0 {
		t.Errorf("exit status %d after a stop", got)
	}
}

func TestDrainFailsHealthButServes(t *testing.T) {
	url, stop, status := start(t, "-name", "a", "-drain", "700ms")
	stop()
	eventually(t, "/healthz fails", func() bool {
		code, _ := get(t, url+"/healthz")
		return code == http.StatusServiceUnavailable
	})
	if code, _ := get(t, url+"/api/time"); code != 200 {
		t.Errorf("/api/time responds with %d while draining", code)
	}
	if got := run(t.Context(), []string{"-healthcheck", url + "/healthz"}, io.Discard); got != 1 {
		t.Errorf("healthcheck of a draining replica exits %d", got)
	}
	if got := <-status; got != 0 {
		t.Errorf("exit status %d after a drain", got)
	}
}

// A request in flight when the program stops gets its complete response.
func TestStopFinishesRequests(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stop()
		// Respond only after the stop has closed the listener.
		addr := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		eventually(t, "new connections are refused", func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		_, _ = io.WriteString(w, "whole")
	})
	var out lbtest.Output
	done := make(chan error, 1)
	go func() { done <- serve(ctx, options{listen: "127.0.0.1:0", name: "a"}, slow, &out) }()
	eventually(t, "an address in the output", func() bool { return served.MatchString(out.String()) })
	if code, body := get(t, served.FindStringSubmatch(out.String())[1]); code != 200 || body != "whole" {
		t.Errorf("%d %q", code, body)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHealthcheckFails(t *testing.T) {
	sick := httptest.NewServer(http.NotFoundHandler())
	defer sick.Close()
	refusing := httptest.NewServer(http.NotFoundHandler())
	refusing.Close()
	for name, url := range map[string]string{"404": sick.URL, "refused": refusing.URL, "no URL": "://"} {
		var out lbtest.Output
		if got := run(t.Context(), []string{"-healthcheck", url}, &out); got != 1 || out.String() == "" {
			t.Errorf("%s: exit status %d, output %q", name, got, out.String())
		}
	}
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"-h"}, 0},
		{[]string{"-nothing"}, 2},
		{[]string{"extra"}, 2},
		{[]string{"-listen", "127.0.0.1:none"}, 1},
	} {
		if got := run(t.Context(), tt.args, io.Discard); got != tt.want {
			t.Errorf("clock %q exits %d, want %d", tt.args, got, tt.want)
		}
	}
}
