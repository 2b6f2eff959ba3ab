package front

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// parkedAre waits until just n connections are parked.
func parkedAre(t testing.TB, f *Front, n int) {
	t.Helper()
	eventually(t, func() bool {
		load := f.Load()
		return load.Open-load.Active == n
	})
}

// TestParkedGoesOn: wherever between the bytes of two requests a connection is parked, both are responded to.
func TestParkedGoesOn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure)})
		head := "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
		sent := []string{"", "G", "GET /a HTTP/1.1\r\nHo", head[:len(head)-1], head, head + "PO", head + "POST /b HTTP/1.1\r\nHost: b\r\n"}
		clients := make([]*client, len(sent))
		for i, part := range sent {
			clients[i] = dialMaybeTLS(t, f, secure)
			clients[i].send(part)
		}
		parkedAre(t, f, len(clients))
		for i, c := range clients {
			all := head + "POST /b HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nxyz"
			c.send(all[len(sent[i]):])
			c.expect("GET /a ")
			c.expect("POST /b xyz")
		}
		parkedAre(t, f, len(clients))
		for _, c := range clients {
			c.Close()
		}
		eventually(t, func() bool { return f.Load().Open == 0 })
	}
}

// TestParkedByteByByte: a head of which each byte comes while the connection is parked.
func TestParkedByteByByte(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure)}, func(f *Front) { f.parking.after, f.parking.newAfter = time.Millisecond, time.Millisecond })
		c := dialMaybeTLS(t, f, secure)
		head := "GET /b HTTP/1.1\r\nHost: a\r\n\r\n"
		for i := range head {
			eventually(t, func() bool { return i == 0 || held(f) == i })
			c.send(head[i : i+1])
		}
		c.expect("GET /b ")
		if n := parkings(f); !secure && n > 3 {
			t.Errorf("parked %d times", n)
		}
	}
}

// TestDripsAreParkedSeldom: a head that comes in many pieces is waited for where each parking costs more than a piece.
func TestDripsAreParkedSeldom(t *testing.T) {
	f := start(t, Options{Listeners: oneListener(t, true)}, func(f *Front) { f.parking.newAfter = time.Millisecond })
	c := dialMaybeTLS(t, f, true)
	for i := range 3 * drips {
		if i <= drips {
			eventually(t, func() bool { return i == 0 || held(f) == i })
		}
		c.send("GET /b HTTP/1.1\r\nHost: a\r\n\r"[i : i+1])
	}
	if n := parkings(f); n > drips+2 {
		t.Errorf("parked %d times", n)
	}
}

// TestParkedHeadIsRefused: what is wrong with a head, or its end, is seen while the connection is parked too.
func TestParkedHeadIsRefused(t *testing.T) {
	for more, answer := range map[string]string{
		"\n":                             "HTTP/1.1 400 ",
		"a: b\x00":                       "HTTP/1.1 400 ",
		strings.Repeat("x", 3*usualHead): "HTTP/1.1 431 ",
	} {
		f := start(t, Options{Limits: Limits{HeaderSize: 2 * usualHead}})
		c := dial(t, f)
		c.send("GET / HTTP/1.1\r\n")
		parkedAre(t, f, 1)
		for ; len(more) > 1000; more = more[1000:] {
			c.send(more[:1000])
		}
		c.send(more)
		if got := c.closed(); !strings.HasPrefix(got, answer) {
			t.Errorf("%.20q: %q", more, got)
		}
	}
	f := start(t, Options{})
	c := dial(t, f)
	c.send("GET / HTTP/1.1\r\n")
	parkedAre(t, f, 1)
	c.Close()
	eventually(t, func() bool { return f.Load().Open == 0 })
}

// held returns how many bytes are kept for the one connection that is parked; -1 if none is.
func held(f *Front) int {
	f.parking.mu.Lock()
	defer f.parking.mu.Unlock()
	for _, c := range f.parking.parked {
		return len(c.rest)
	}
	return -1
}

// parkings returns how often any connection was parked.
func parkings(f *Front) uint64 {
	f.parking.mu.Lock()
	defer f.parking.mu.Unlock()
	return f.parking.last
}

// TestParkedKeepTheirOwn: what came of each head before it was parked is its own, though the buffers are used by others.
func TestParkedKeepTheirOwn(t *testing.T) {
	f := start(t, Options{Handler: tellField})
	first := "GET / HTTP/1.1\r\nHost: a\r\nX-Own: first\r\n\r\n"
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = dial(t, f)
		clients[i].send(fmt.Sprintf("%sGET / HTTP/1.1\r\nHost: a\r\nX-Own: %s%d\r\n", first, strings.Repeat("x", i), i))
		clients[i].expect("first")
	}
	parkedAre(t, f, len(clients))
	busy := dial(t, f)
	for range 200 {
		busy.send(strings.ReplaceAll(first, "first", strings.Repeat("!", 400)))
		busy.expect(strings.Repeat("!", 400))
	}
	for i, c := range clients {
		c.send("\r\n")
		c.expect(fmt.Sprintf("%s%d", strings.Repeat("x", i), i))
	}
}

// TestParkedTimes: the limits of time hold for who is parked.
func TestParkedTimes(t *testing.T) {
	const limit = 400 * time.Millisecond
	for name, tc := range map[string]struct {
		limits Limits
		sent   string
		answer string // the start of what comes back
	}{
		"nothing came": {Limits{HeaderTimeout: limit}, "", ""},
		"half a head":  {Limits{HeaderTimeout: limit}, "GET / HTTP/1.1\r\nHo", "HTTP/1.1 408 "},
		"idle":         {Limits{IdleTimeout: parkAfter + limit}, ok + "\r\n", "HTTP/1.1 200 "},
	} {
		f := start(t, Options{Limits: tc.limits})
		begin := time.Now()
		c := dial(t, f)
		c.send(tc.sent)
		parkedAre(t, f, 1)
		if got := c.closed(); !strings.HasPrefix(got, tc.answer) || got == "" != (tc.answer == "") {
			t.Errorf("%s: %q", name, got)
		}
		if took := time.Since(begin); took < limit {
			t.Errorf("%s: closed after %v", name, took)
		}
	}
}

// TestParkedAtShutdown: who is parked when the shutdown begins is closed, and gets its response if a request comes just then.
func TestParkedAtShutdown(t *testing.T) {
	f := start(t, Options{Limits: Limits{HeaderTimeout: time.Hour, IdleTimeout: time.Hour}})
	idle, half, quick := dial(t, f), dial(t, f), dial(t, f)
	for _, c := range []*client{idle, quick} {
		c.send(ok + "\r\n")
		c.expect("GET / ")
	}
	half.send("GET / HTTP/1.1\r\nHo")
	parkedAre(t, f, 3)
	ended := make(chan error, 1)
	go func() { ended <- f.Shutdown(context.Background()) }()
	eventually(t, f.Draining)
	quick.send(ok + "\r\n")
	if resp, _ := quick.answer("GET"); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("a request at the shutdown: %d, close %v", resp.StatusCode, resp.Close)
	}
	if got := idle.closed(); got != "" {
		t.Errorf("an idle one got %q", got)
	}
	if got := half.closed(); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("half a head got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestParkedAreCut: a shutdown without patience closes them too.
func TestParkedAreCut(t *testing.T) {
	f := start(t, Options{Limits: Limits{HeaderTimeout: time.Hour}})
	c := dial(t, f)
	c.send("GET / HTTP/1.1\r\nHo")
	parkedAre(t, f, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Shutdown(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "still run") {
		t.Error(err)
	}
	c.closed()
}

// TestParkedOfRemovedListener: they end with their listener, and others do not.
func TestParkedOfRemovedListener(t *testing.T) {
	o := Options{Handler: echo, Listeners: []ListenerOptions{{Address: freePort(t)}, {Address: freePort(t)}}}
	f := start(t, o)
	goes := dial(t, f)
	goes.send(ok + "\r\n")
	goes.expect("GET / ")
	parkedAre(t, f, 1)
	o.Listeners = o.Listeners[1:]
	if err := f.Apply(o); err != nil {
		t.Fatal(err)
	}
	if got := goes.closed(); got != "" {
		t.Errorf("%q", got)
	}
	stays := dial(t, f)
	stays.send(ok + "\r\n")
	stays.expect("GET / ")
}

// TestUnwatchedAreNotParked: without a watcher connections wait as they can, for as long as they may.
func TestUnwatchedAreNotParked(t *testing.T) {
	f := start(t, Options{Limits: Limits{IdleTimeout: parkAfter + 200*time.Millisecond}})
	eventually(t, f.serving.Load)
	f.parking.watch.stop()
	c := dial(t, f)
	begin := time.Now()
	c.send(ok + "\r\n")
	c.expect("GET / ")
	if got := c.closed(); got != "" {
		t.Errorf("%q", got)
	}
	if took := time.Since(begin); took < parkAfter+200*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
	if n := parkings(f); n > 1 {
		t.Errorf("tried %d times", n)
	}
}
