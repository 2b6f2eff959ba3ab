package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lb/admin"
	"lb/pool"
)

// twoSamples are two seconds apart, of a pool with a backend in each state.
func twoSamples() (old, now *Sample) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(t time.Time, factor uint64) *Sample {
		return &Sample{
			Time: t,
			Status: admin.Status{Version: "v9", Ready: true, Started: start, Uptime: 3725,
				Totals: admin.Totals{Requests: 100 * factor, Errors: 3 * factor, InFlight: 4, Connections: 5}},
			Pools: []pool.PoolStatus{
				{Name: "app", Tier: "primary", Waiting: 6, Backends: []pool.BackendStatus{
					{Address: "a:1", Weight: 1, State: "up", Active: "up", Passive: "ok", Admin: "ready", Usable: true, InFlight: 3, MaxConns: 9,
						Requests: 90 * factor, Errors: 1 * factor, EWMAMillis: 1.25, ActiveConns: 3, IdleConns: 2},
					{Address: "b:1", Weight: 2, ConfiguredWeight: 1, State: "drain", Active: "up", Passive: "ok", Admin: "drain"},
					{Address: "c:1", Weight: 1, State: "down", Active: "down", Passive: "ok", Admin: "ready", Backup: true},
				}},
				{Name: "none\x1b[2J", Tier: "none"},
			},
		}
	}
	return at(start, 1), at(start.Add(2*time.Second), 3)
}

func TestRates(t *testing.T) {
	old, now := twoSamples()
	r := ratesSince(old, now)
	if requests, errors := r.backend("app", &now.Pools[0].Backends[0]); requests != 90 || errors != 1 {
		t.Errorf("%v %v", requests, errors)
	}
	if got := summaryText(now, r); got != "100 req/s, 3.0 5xx/s, 4 in flight, 5 connections, ready" {
		t.Error(got)
	}
	unknown := func(what string, r rates) {
		t.Helper()
		if requests, errors := r.backend("app", &now.Pools[0].Backends[0]); !math.IsNaN(requests) || !math.IsNaN(errors) {
			t.Errorf("%s: %v %v", what, requests, errors)
		}
	}
	unknown("the first sample", ratesSince(nil, now))
	joined := *old
	joined.Pools = nil
	unknown("a backend that joined", ratesSince(&joined, now))
	restarted := *old
	restarted.Status.Started = old.Status.Started.Add(-time.Hour)
	unknown("another process", ratesSince(&restarted, now))
	fresh, _ := twoSamples()
	fresh.Pools[0].Backends[0].Requests, fresh.Pools[0].Backends[0].Errors = 1000, 1000
	unknown("counts that went down", ratesSince(fresh, now))
	for rate, want := range map[float64]string{0: "0", 0.04: "0.0", 1.26: "1.3", 9.94: "9.9", 9.96: "10", 1234.5: "1234", math.NaN(): "-"} {
		if got := rateText(rate); got != want {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
}

func TestTopTable(t *testing.T) {
	old, now := twoSamples()
	header, rows := topText(topLines(now, ratesSince(old, now)), 0, false)
	got := strings.Join(append([]string{header}, rows...), "\n")
	want := `POOL, BACKEND  STATE                    WEIGHT  IN FLIGHT  REQ/S  ERR/S   EWMA  CONNS  IDLE  QUEUE
app            1 of 3 usable                            3     90    1.0             3     2      6
  a:1          up                            1        3/9     90    1.0  1.2ms      3     2
  b:1          drain          2 (configured 1)          0      0      0      -      0     0
  c:1          down, backup                  1          0      0      0      -      0     0
none [2J       0 of 0 usable                            0      0      0             0     0      0`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, coloured := topText(topLines(now, ratesSince(old, now)), 0, true)
	for i, c := range []colour{uncoloured, green, yellow, red, red} {
		if c != uncoloured && !strings.Contains(coloured[i], "\x1b["+string(c)+"m") {
			t.Errorf("row %d is not in colour %s: %q", i, c, coloured[i])
		}
	}
	for i := range rows {
		plainRow := coloured[i]
		for _, c := range []colour{bold, red, green, yellow} {
			plainRow = strings.ReplaceAll(plainRow, "\x1b["+string(c)+"m", "")
		}
		if plainRow = strings.ReplaceAll(plainRow, "\x1b[0m", ""); strings.TrimRight(plainRow, " ") != rows[i] {
			t.Errorf("colours change the text: %q, %q", plainRow, rows[i])
		}
	}
}

// TestFrame: a frame fills a terminal of any size and never exceeds it, and every row can be scrolled to.
func TestFrame(t *testing.T) {
	old, now := twoSamples()
	for i := range 50 {
		b := now.Pools[0].Backends[0]
		b.Address = fmt.Sprintf("backend-%02d:1", i)
		now.Pools[0].Backends = append(now.Pools[0].Backends, b)
	}
	v := &view{title: "127.0.0.1:9900"}
	v.take(round{sample: old})
	v.take(round{sample: now})
	for _, height := range []int{1, 2, 4, 5, 6, 24, 100} {
		for _, width := range []int{1, 7, 20, 80, 300} {
			lines := v.frame(width, height)
			if len(lines) != height {
				t.Fatalf("%dx%d: %d lines", width, height, len(lines))
			}
			for _, line := range lines {
				if n := len([]rune(line)); n > width {
					t.Errorf("%dx%d: a line of %d: %q", width, height, n, line)
				}
			}
		}
	}
	shows := func(text string) bool { return strings.Contains(strings.Join(v.frame(80, 12), "\n"), text) }
	if !shows("1 to 7 of 55") || shows("none [2J") {
		t.Errorf("at the top:\n%s", strings.Join(v.frame(80, 12), "\n"))
	}
	for _, c := range []struct {
		keys []key
		want string
	}{
		{[]key{keyDown}, "2 to 8 of"}, {[]key{keyUp, keyUp, keyUp}, "1 to 7 of"}, {[]key{keyPageDown}, "8 to 14 of"}, {[]key{keyPageUp}, "1 to 7 of"},
		{[]key{keyEnd}, "49 to 55 of"}, {[]key{keyDown}, "49 to 55 of"}, {[]key{keyHome}, "1 to 7 of"},
	} {
		for _, k := range c.keys {
			v.press(k)
			v.frame(80, 12)
		}
		if !shows(c.want) {
			t.Errorf("after %v not %q:\n%s", c.keys, c.want, strings.Join(v.frame(80, 12), "\n"))
		}
	}
	v.take(round{err: errors.New("connection refused")})
	if !shows("no response since") || !shows("connection refused") || !shows("a:1") {
		t.Errorf("without a response:\n%s", strings.Join(v.frame(80, 12), "\n"))
	}
	v.take(round{sample: now})
	if shows("no response") {
		t.Error("it responds again")
	}
}

// TestKeys: keys are recognized however the terminal's bytes are split.
func TestKeys(t *testing.T) {
	const input = "j\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[1~\x1b[F\x1b[1;5Cx\x1bk\x1b\x1b[Hq\x03"
	want := []key{keyDown, keyUp, keyDown, keyPageUp, keyPageDown, keyHome, keyEnd, keyUp, keyHome, keyQuit, keyQuit}
	for size := 1; size <= len(input); size++ {
		var d keyDecoder
		var got []key
		for piece := range slices.Chunk([]byte(input), size) {
			got = append(got, d.decode(piece)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pieces of %d: %v, want %v", size, got, want)
		}
	}
}

// fleet is a server whose backend's counters grow.
func fleet(t *testing.T) *Client {
	t.Helper()
	pools, _ := twoPools()
	started := time.Now()
	return &Client{Addr: serve(t, admin.Options{Pools: pools, Status: func() admin.Status { return admin.Status{Version: "v9", Ready: true, Started: started} }})}
}

func TestTopPrint(t *testing.T) {
	top := Top{Client: fleet(t), Interval: 10 * time.Millisecond, Rounds: 3}
	var out strings.Builder
	if err := top.Print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "POOL, BACKEND") != 3 || strings.Count(out.String(), "127.0.0.1:5001") != 3 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%s", out.String())
	}
	top.Rounds = 0
	ctx, cancel := context.WithCancel(t.Context())
	if err := top.Print(ctx, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil })); err != nil {
		t.Errorf("cancelled: %v", err)
	}
	broken := errors.New("broken pipe")
	if err := top.Print(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken })); !errors.Is(err, broken) {
		t.Errorf("a pipe without a reader: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestTopLostConnection: a balancer that stops and starts again is shown as such. One that never ran is an error.
func TestTopLostConnection(t *testing.T) {
	pools, _ := twoPools()
	options := admin.Options{Pools: pools, Status: func() admin.Status { return admin.Status{} }}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	stop := serveOn(t, options, ln)
	var tables, lost atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	back := make(chan func(), 1) // the function that stops it again
	top := Top{Client: &Client{Addr: address}, Interval: 10 * time.Millisecond}
	err = top.Print(ctx, writerFunc(func(p []byte) (int, error) {
		switch text := string(p); {
		case strings.Contains(text, "no response, retrying"):
			if lost.Add(1) == 2 {
				ln, err := net.Listen("tcp", address)
				if err != nil {
					return 0, err
				}
				back <- serveOn(t, options, ln)
			}
		case lost.Load() > 0:
			cancel()
		case tables.Add(1) == 1:
			stop()
		}
		return len(p), nil
	}))
	if err != nil || tables.Load() < 1 || lost.Load() < 2 {
		t.Errorf("%d tables, lost %d times, %v", tables.Load(), lost.Load(), err)
	}
	(<-back)()
	var unreachable *UnreachableError
	if err := top.Print(t.Context(), &strings.Builder{}); !errors.As(err, &unreachable) {
		t.Errorf("no balancer: %v", err)
	}
}
