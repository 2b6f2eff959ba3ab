package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newTLSServer counts requests, and those without a new connection with a full handshake.
func newTLSServer(t *testing.T) (address string, asked, wrong *atomic.Int64) {
	asked, wrong = new(atomic.Int64), new(atomic.Int64)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !r.Close || r.TLS.DidResume || r.TLS.Version != 0x304 {
			wrong.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked, wrong
}

func TestHandshakeLoop(t *testing.T) {
	address, asked, wrong := newTLSServer(t)
	got, err := handshakeLoop(t.Context(), address, "/", 2, 0, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if got.requests == 0 || got.requests != int(asked.Load()) || got.errors != 0 || got.p99 < got.p50 {
		t.Errorf("implausible: %+v, %d requests came", got, asked.Load())
	}
	if wrong.Load() != 0 {
		t.Errorf("%d of %d requests had no full handshake of TLS 1.3 or kept their connection", wrong.Load(), asked.Load())
	}
}

func TestHandshakesKeepToTheirRate(t *testing.T) {
	address, _, _ := newTLSServer(t)
	const rate, duration = 50, 400 * time.Millisecond
	got, err := handshakeLoop(t.Context(), address, "/", 4, rate, duration)
	if err != nil {
		t.Fatal(err)
	}
	if most := int(rate * duration.Seconds()); got.requests > most {
		t.Errorf("%d handshakes, want at most %d", got.requests, most)
	}
}

func TestHandshakeLoopCountsFailures(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	if got, err := handshakeLoop(t.Context(), server.Listener.Addr().String(), "/", 2, 0, 100*time.Millisecond); err == nil {
		t.Errorf("got %+v and no error, though no request had a good response", got)
	}
}

func TestGenerateHandshakes(t *testing.T) {
	address, asked, _ := newTLSServer(t)
	self := newFleet(t)
	p, err := self.start("handshakes", nil, testBinary(t), handshakesArgument, address, "/", "200ms")
	if err != nil {
		t.Fatal(err)
	}
	<-p.exited
	figures, err := parseHandshakes(p)
	if err != nil {
		t.Fatal(err)
	}
	if figures["handshakes"] <= 0 || asked.Load() == 0 {
		t.Errorf("%v, %d requests came", figures, asked.Load())
	}
	if err := generateHandshakes(t.Context(), []string{address}, &strings.Builder{}); err == nil {
		t.Error("no error though path and duration are missing")
	}
}

// The generator's priority is lower than the harness's.
func TestGeneratorLowersItsPriority(t *testing.T) {
	address, _, _ := newTLSServer(t)
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if own == 1 {
		t.Skip("the priority is the lowest already")
	}
	f := newFleet(t)
	p, err := f.start("handshakes", nil, testBinary(t), handshakesArgument, address, "/", "10s")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the generator's priority is lower", func() bool {
		its, err := unix.Getpriority(unix.PRIO_PROCESS, p.pid)
		return err == nil && its < own // 20 less the nice value
	})
}

// Failed handshakes must not count as measured ones.
func TestHandshakesWithErrorsAreNone(t *testing.T) {
	for _, test := range []struct{ name, output, want string }{
		{"errors", mustJSON(t, handshakeReport{PerSecond: 5, Errors: 2}), "2 handshakes failed"},
		{"no report", "bench: cannot connect", "cannot connect"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			p, err := f.start("generator", []string{"OUTPUT=" + test.output}, "/bin/sh", "-c", `echo "$OUTPUT"`)
			if err != nil {
				t.Fatal(err)
			}
			<-p.exited
			if _, err := parseHandshakes(p); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFetchProfile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			_, _ = w.Write([]byte("profile"))
		case "/refused":
			http.Error(w, "already in use", http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	if err := fetchProfile(t.Context(), server.URL+"/good"); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/refused", "/empty"} {
		if err := fetchProfile(t.Context(), server.URL+path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}
