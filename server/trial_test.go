package server_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// switchable is a backend that responds with 503 until the test makes it hang; then requests get no response until the end of the
// test's wait.
type switchable struct {
	*lbtest.Backend
	mode    atomic.Int32 // good, bad or hanging
	hanging atomic.Int64 // requests without a response so far
	end     func()       // of the hanging
}

const (
	good int32 = iota
	bad
	hanging
)

func newSwitchable(t testing.TB) *switchable {
	release := make(chan struct{})
	m := &switchable{end: sync.OnceFunc(func() { close(release) })}
	m.Backend = lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			switch m.mode.Load() {
			case bad:
				c.Send("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
				continue
			case hanging:
				m.hanging.Add(1)
				<-release
			}
			c.Send(lbtest.OK("switchable"))
		}
	})
	t.Cleanup(m.end)
	return m
}

// onTrial has the backend ejected and its trial request hang.
func (m *switchable) onTrial(t testing.TB, lb *running, lines ...string) *lbtest.Conn {
	t.Helper()
	m.mode.Store(bad)
	passive := func(state string) func() bool {
		return func() bool {
			if m.mode.Load() == bad {
				lb.get("/", lines...)
			}
			return strings.Contains(lb.admin("GET", "/api/v1/pools/app"), `"passive":"`+state+`"`)
		}
	}
	lbtest.Eventually(t, "ejected", passive("ejected"))
	m.mode.Store(hanging)
	lbtest.Eventually(t, "on trial", passive("trial"))
	c := lb.dial()
	c.Send("GET /trial HTTP/1.1\r\nHost: a\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n")
	lbtest.Eventually(t, "the trial request hangs", func() bool { return m.hanging.Load() == 1 })
	return c
}

const quickEjection = "  eject {\n    failures = 2\n    duration = \"50ms\"\n  }\n  retry {\n    attempts = 0\n  }\n  queue {\n    timeout = \"200ms\"\n  }\n"

// TestHangingTrialBesideABackup: while the trial request of the only primary hangs, the backup serves all others.
func TestHangingTrialBesideABackup(t *testing.T) {
	m := newSwitchable(t)
	backup, _ := named(t, 1)
	lb := start(t, backups(proxyTo(quickEjection, m.Addr, backup[0]), backup[0]))
	c := m.onTrial(t, lb)
	for range 10 {
		if r := lb.get("/"); r.Body != "a" {
			t.Fatalf("%d %q", r.Status(), r.Body)
		}
	}
	m.mode.Store(good)
	m.end()
	if r := c.ReadResponse("GET"); r.Body != "switchable" {
		t.Errorf("the trial request got %d %q", r.Status(), r.Body)
	}
	lbtest.Eventually(t, "the primary serves again", func() bool { return lb.get("/").Body == "switchable" })
}

// TestHangingTrialOfAStickyBackend: while the trial request of a sticky backend hangs, the others serve its clients, which return
// to it afterwards.
func TestHangingTrialOfAStickyBackend(t *testing.T) {
	m := newSwitchable(t)
	others, _ := named(t, 2)
	lb := start(t, proxyTo(quickEjection+"  sticky {}\n", m.Addr, others[0], others[1]))
	pair := ""
	lbtest.Eventually(t, "a client of the one that will hang", func() bool {
		r := lb.get("/")
		pair, _ = cookie(r)
		return r.Body == "switchable"
	})
	c := m.onTrial(t, lb, "Cookie: "+pair)
	for range 10 {
		r := lb.get("/", "Cookie: "+pair)
		if moved, _ := cookie(r); r.Status() != 200 || r.Body == "switchable" || moved != "" {
			t.Fatalf("%d %q, and sets %q", r.Status(), r.Body, moved)
		}
	}
	m.mode.Store(good)
	m.end()
	if r := c.ReadResponse("GET"); r.Body != "switchable" {
		t.Errorf("the trial request got %d %q", r.Status(), r.Body)
	}
	lbtest.Eventually(t, "back at its backend", func() bool { return lb.get("/", "Cookie: "+pair).Body == "switchable" })
}
