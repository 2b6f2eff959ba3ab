package listener

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lb/http1"
	"lb/netloop"
)

// Listener is the settings of a listener, and what a request may know of the one it came by.
// It never changes; a reload makes another, for connections to come.
type Listener struct {
	Address       string // as configured
	TLS           bool
	RedirectHTTPS bool

	options  ListenerOptions
	limits   Limits
	settings http1.Settings
	socket   *socket
	tls      *tlsSource
	retired  atomic.Bool // its connections should end with their next response
}

// Addr is the bound address: with port 0, the real one.
func (l *Listener) Addr() net.Addr { return l.socket.addr }

// Connections returns how many connections are open, and how many have been accepted since
// the socket was bound.
func (l *Listener) Connections() (open int64, accepted uint64) {
	return l.socket.open.Load(), l.socket.metrics.accepted.Get()
}

// trusts reports whether a peer is among the trusted proxies. The peers of a Unix socket are: its file's mode is what
// guards it.
func (l *Listener) trusts(peer netip.AddrPort) bool {
	if !peer.IsValid() {
		return true
	}
	for _, prefix := range l.options.TrustedProxies {
		if prefix.Contains(peer.Addr()) {
			return true
		}
	}
	return false
}

// ending reports whether the connections must end as soon as they are idle.
func (l *Listener) ending() bool { return l.socket.gone.Load() }

// socket is an open listening socket and the connections that came by it. It outlives its
// Listeners.
type socket struct {
	set      *Set
	address  string
	ipv6Only bool
	ln       net.Listener // until the loops accept
	addr     net.Addr
	metrics  *socketMetrics
	current  atomic.Pointer[Listener]
	starving atomic.Bool // the last attempt to accept has failed
	gone     atomic.Bool // stopped for good

	accepting *netloop.Listener // nil: not yet; under Set.mu
	ownsFile  bool              // the file of a Unix socket goes with it; under Set.mu

	open    atomic.Int64 // connections
	closed  atomic.Bool  // no connection can come any more
	drain   sync.Once
	drained chan struct{} // closed when closed holds and the last connection has ended
}

func newSocket(s *Set, ln net.Listener, o *ListenerOptions) *socket {
	k := &socket{set: s, address: o.Address, ipv6Only: o.IPv6Only, ln: ln, addr: ln.Addr(), drained: make(chan struct{})}
	k.metrics = s.metrics.newSocket(k)
	return k
}

// configure makes o and limits hold for connections to come. If only certificates differ,
// connections of before go on as they are.
func (k *socket) configure(o *ListenerOptions, limits *Limits) {
	old := k.current.Load()
	if old != nil && old.limits == *limits && sameBehaviour(&old.options, o) {
		if o.TLS != nil {
			old.tls.use(o.TLS)
		}
		return
	}
	l := &Listener{
		Address: o.Address, TLS: o.TLS != nil, RedirectHTTPS: o.RedirectHTTPS,
		options: *o, limits: *limits, socket: k,
	}
	l.settings = http1.Settings{Limits: limits.Limits, Handler: (*handler)(k.set), TrustsPeer: l.trusts}
	if o.TLS != nil {
		if old != nil && old.tls != nil && old.options.TLS.sameTrust(o.TLS) {
			l.tls = old.tls
			l.tls.use(o.TLS)
		} else {
			l.tls = newTLSSource(o.TLS)
		}
	}
	k.current.Store(l)
	if old != nil {
		old.retired.Store(true)
	}
}

// beginAccepting has the loops accept. The caller holds Set.mu.
func (k *socket) beginAccepting() (err error) {
	if k.accepting == nil {
		k.accepting, err = k.set.loops.Listen(k.ln, k.accept, k.trouble)
	}
	return err
}

// file returns a duplicate of the socket. The caller holds Set.mu.
func (k *socket) file() (*os.File, error) {
	if k.accepting != nil {
		return k.accepting.File()
	}
	return Duplicate(k.ln)
}

// stop ends accepting. What the kernel has queued is still accepted. The file of a Unix socket is removed first, so that
// no client connects any more and another listener can have the path. The caller holds Set.mu.
func (k *socket) stop() {
	if k.gone.Swap(true) {
		return
	}
	if path, isUnix := strings.CutPrefix(k.address, unixPrefix); isUnix && k.ownsFile {
		LeaveFile(k.ln) // by then it may be another's
		os.Remove(path)
	}
	if k.accepting == nil {
		k.ln.Close()
	}
	accepting := k.accepting
	k.set.retiring.Go(func() { k.retire(accepting) })
}

// retire ends the connections as they become idle. It returns after the grace for idle ones, or when there are none left.
func (k *socket) retire(accepting *netloop.Listener) {
	grace := time.NewTimer(idleGrace)
	defer grace.Stop()
	k.set.each(k, (*conn).hurry)
	if accepting != nil {
		accepting.Close()
		<-k.set.each(k, func(*conn) {}) // accepted connections on their way to another loop have come there
	}
	k.closed.Store(true)
	k.checkDrained()
	select {
	case <-grace.C:
		<-k.set.each(k, (*conn).endIfSilent)
	case <-k.drained:
	}
	k.metrics.retire()
}

// leave is called for each connection that ends.
func (k *socket) leave() {
	k.open.Add(-1)
	k.checkDrained()
}

// checkDrained is called after each step towards drained.
func (k *socket) checkDrained() {
	if k.closed.Load() && k.open.Load() == 0 {
		k.drain.Do(func() { close(k.drained) })
	}
}

func (k *socket) hasDrained() bool {
	select {
	case <-k.drained:
		return true
	default:
		return false
	}
}
