//go:build !portable

package transport

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/netloop"
)

// boundSocket returns an address that refuses connections until the end of the test.
func boundSocket(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	own := name.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(own.Addr), uint16(own.Port))
}

// TestSeveralAddresses: an address that does not respond leaves time for the next one, and is tried last from then on.
func TestSeveralAddresses(t *testing.T) {
	full, release := fullListener(t)
	defer release()
	refusing := boundSocket(t)
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	good := netip.MustParseAddrPort(b.Addr)
	l := startLoop(t)
	for name, first := range map[string]netip.AddrPort{"silent": netip.MustParseAddrPort(full), "refusing": refusing} {
		t.Run(name, func(t *testing.T) {
			s := New(Options{Address: "test.invalid:80", Connect: time.Second, MaxIdle: 8}, NewWorkers([]*netloop.Loop{l.loop}))
			x := &exchange{loop: l, request: get, done: make(chan struct{})}
			dial := func(c *Conn) {
				c.timer.Init(l.loop, c)
				(&resolving{conn: c, found: []netip.AddrPort{first, good}}).Run()
			}
			l.do(func() {
				s.active.Add(1)
				x.conn = &Conn{client: s, worker: s.workers[0], loop: l.loop}
				x.conn.begin(x, false)
				x.conn.state, x.conn.idleSince = connDialing, l.loop.Now()
				dial(x.conn)
			})
			lbtest.Wait(t, "the response", x.done)
			if x.err != nil {
				t.Fatal(x.err)
			}
			var order []netip.AddrPort
			l.do(func() {
				c := &Conn{client: s, worker: s.workers[0], loop: l.loop, state: connDialing, idleSince: l.loop.Now()}
				dial(c)
				order = append(order, c.targets...)
				c.closeUnused()
			})
			if len(order) != 2 || order[0] != good || order[1] != first {
				t.Errorf("the addresses are tried in the order %v", order)
			}
			closeClient(l, s)
		})
	}
}
