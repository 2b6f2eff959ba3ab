package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	const text = "Running 1s test @ http://127.0.0.1/\n  2 threads and 64 connections\n{not ours}\nRequests/sec: 1\n"
	const good = `{"requests":1000,"bytes":5,"duration_us":2000000,"p50_us":10,"p90_us":20,"p99_us":30,"p999_us":40,"max_us":50,` +
		`"errors":{"connect":1,"read":2,"write":4,"status":8,"timeout":16}}`
	tests := []struct {
		name, output string
		want         load
		fails        bool
	}{
		{"report", text + "\n" + good + "\n", load{1000, 5, 2, 10, 30, 40, 50, 31}, false},
		{"no report", "Running 1s test\n", load{}, true},
		{"broken report", text + "\n{\"requests\":", load{}, true},
		{"no responses", text + "\n" + `{"requests":0,"duration_us":2000000}`, load{}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseWrk([]byte(test.output))
			if (err != nil) != test.fails || got != test.want {
				t.Errorf("got %+v and %v, want %+v, error %v", got, err, test.want, test.fails)
			}
		})
	}
}

func TestWrkItself(t *testing.T) {
	generator, err := findWrk(t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	var asked, posted, closed atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); r.Method == http.MethodPost && len(body) == 100 {
			posted.Add(1)
		}
		if r.Close {
			closed.Add(1)
		}
		if asked.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	defer server.Close()
	got, err := generator.run(t.Context(), request{url: server.URL}, 2, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got.requests == 0 || got.errors == 0 || got.p99 < got.p50 || got.max < got.p99 || got.seconds < 1 {
		t.Errorf("implausible: %+v of %d", got, asked.Load())
	}
	if posted.Load() != 0 || closed.Load() != 0 {
		t.Errorf("%d requests had a body and %d a connection of their own, though none should", posted.Load(), closed.Load())
	}
	if _, err := generator.run(t.Context(), request{url: server.URL, post: 100, close: true}, 2, time.Second); err != nil {
		t.Fatal(err)
	}
	if posted.Load() == 0 || posted.Load() != closed.Load() {
		t.Errorf("%d requests had a body and %d a connection of their own, want all", posted.Load(), closed.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := generator.run(ctx, request{url: server.URL}, 2, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one for the cancelled context", err)
	}
}

func TestReadResponse(t *testing.T) {
	tests := []struct {
		name, response string
		want           error
		left           string
	}{
		{"with a body", "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\nabcNEXT", nil, "NEXT"},
		{"name in small letters", "HTTP/1.1 200 OK\r\ncontent-length:3 \r\n\r\nabcNEXT", nil, "NEXT"},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", nil, ""},
		{"an error", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", errNoOK, "Content-Length: 0\r\n\r\n"},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", errNoLength, "0\r\n\r\n"},
		{"body cut off", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", io.EOF, ""},
		{"head cut off", "HTTP/1.1 200 OK\r\nContent-", io.EOF, ""},
		{"head too large", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 100), bufio.ErrBufferFull, strings.Repeat("x", 39)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reader := bufio.NewReaderSize(strings.NewReader(test.response), 64)
			if err := readResponse(reader); !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if left, _ := io.ReadAll(reader); string(left) != test.left {
				t.Errorf("left %q, want %q", left, test.left)
			}
		})
	}
}

func TestReadResponseAllocatesNothing(t *testing.T) {
	source := strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	reader := bufio.NewReader(source)
	allocations := testing.AllocsPerRun(100, func() {
		_, _ = source.Seek(0, io.SeekStart)
		reader.Reset(source)
		if err := readResponse(reader); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations for one response", allocations)
	}
}

func TestArrivals(t *testing.T) {
	first, second := arrivals(1000, 10*time.Second), arrivals(1000, 10*time.Second)
	if !slices.Equal(first, second) {
		t.Error("two runs get different arrivals")
	}
	if !slices.IsSorted(first) || first[0] < 0 || first[len(first)-1] >= 10*time.Second {
		t.Error("arrivals are not in order, or lie outside of the duration")
	}
	if n := len(first); n < 9700 || n > 10300 { // three standard deviations of a Poisson count of 10,000
		t.Errorf("%d arrivals in ten seconds at 1000 a second", n)
	}
}

func TestOpenLoopSendsWhatIsDue(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	got, err := openLoop(t.Context(), server.Listener.Addr().String(), "/", 4, 500, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	want := len(arrivals(500, 300*time.Millisecond))
	if got.requests != want || int(asked.Load()) != want || got.errors != 0 {
		t.Errorf("%d responses, %d requests, %d errors, want %d requests", got.requests, asked.Load(), got.errors, want)
	}
}

// A stalled balancer must show in the latencies of the requests that could not be sent meanwhile.
func TestOpenLoopCountsWaiting(t *testing.T) {
	const service, duration = 10 * time.Millisecond, 100 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(service) }))
	defer server.Close()
	got, err := openLoop(t.Context(), server.Listener.Addr().String(), "/", 1, 500, duration)
	if err != nil {
		t.Fatal(err)
	}
	// One connection serves them one by one, so the last cannot be done earlier than this.
	least := time.Duration(got.requests)*service - duration
	if got.max < microseconds(least) {
		t.Errorf("the longest latency is %v µs, and must be at least %v", got.max, least)
	}
}

func TestOpenLoopCountsFailures(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer server.Close()
	if got, err := openLoop(t.Context(), server.Listener.Addr().String(), "/", 2, 500, 100*time.Millisecond); err == nil {
		t.Errorf("got %+v and no error, though no request had a good response", got)
	}
}

func TestTransfersAreChecked(t *testing.T) {
	origin, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer origin.stop()
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	url := "http://" + origin.address + "/"
	if err := upload(t.Context(), client, url, 3*megabyte); err != nil {
		t.Errorf("upload: %v", err)
	}
	if err := download(t.Context(), client, url, 3*megabyte); err != nil {
		t.Errorf("download: %v", err)
	}
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer empty.Close()
	if err := upload(t.Context(), client, empty.URL, megabyte); err == nil {
		t.Error("upload: no error, though the body was not acknowledged")
	}
	if err := download(t.Context(), client, empty.URL, megabyte); err == nil {
		t.Error("download: no error, though nothing came")
	}
}

func TestOpenKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	kept, err := openKept(server.Listener.Addr().String(), "/", 100)
	defer closeAll(kept)
	if err != nil || len(kept) != 100 {
		t.Fatalf("%d connections and %v, want 100", len(kept), err)
	}
	for _, c := range kept {
		if err := c.exchange(); err != nil {
			t.Fatalf("a second request on a kept connection: %v", err)
		}
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openKept(address, "/", 3); err == nil {
		t.Error("no error, though nothing listens")
	}
}

// Few large bodies are counted by their bytes, including those in transit when the load ends.
func TestLargeBodiesAreCountedByBytes(t *testing.T) {
	l := load{requests: 3, bytes: 5*mib + mib/4}
	if got := l.byBytes(mib).requests; got != 5 {
		t.Errorf("%d bodies of 1 MiB in %d bytes, want 5", got, l.bytes)
	}
	if got := l.byBytes(1 << 10).requests; got != 3 {
		t.Errorf("%d small responses, want the 3 that were counted", got)
	}
}
