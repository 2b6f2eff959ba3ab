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
	"lb/http2"
	"lb/http3"
	"lb/netloop"
)

// Listener holds the settings of a listener for the connections accepted with them. It never changes: a reload makes a new one for
// new connections.
type Listener struct {
	Address       string // as configured
	TLS           bool
	RedirectHTTPS bool

	options  ListenerOptions
	limits   Limits
	settings http1.Settings
	http2    http2.Settings
	http3    http3.Settings
	socket   *socket
	tls      *tlsSource
	retired  atomic.Bool // its connections should close after their next response
}

// Addr returns the bound address, with the actual port if 0 was configured.
func (l *Listener) Addr() net.Addr { return l.socket.addr }

// Connections returns the number of open connections, and of those accepted since the socket was bound.
func (l *Listener) Connections() (open int64, accepted uint64) {
	return l.socket.open.Load(), l.socket.metrics.accepted.Get()
}

// AltSvc returns the value of Alt-Svc (RFC 7838) by which clients learn of HTTP/3; nil while it is not served.
func (l *Listener) AltSvc() []byte {
	if v := l.socket.altSvc.Load(); v != nil {
		return *v
	}
	return nil
}

// trusts reports whether a peer is a trusted proxy. Peers on a unix socket are, since the mode of its file restricts access.
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

// ending reports whether the connections must close as soon as they are idle.
func (l *Listener) ending() bool { return l.socket.stopped.Load() }

// socket is an open listening socket with its connections. It outlives its Listeners.
type socket struct {
	set      *Set
	address  string
	ipv6Only bool
	ln       net.Listener // used until the loops accept
	addr     net.Addr
	metrics  *socketMetrics
	current  atomic.Pointer[Listener]
	starving atomic.Bool            // the last attempt to accept failed
	stopped  atomic.Bool            // stop has been called
	altSvc   atomic.Pointer[[]byte] // see Listener.AltSvc; nil: there is no HTTP/3

	accepting *netloop.Listener // nil: not yet; guarded by Set.mu
	quic      *quicSocket       // nil: no HTTP/3; guarded by Set.mu
	udp       *PacketSocket     // bound for HTTP/3, until quic serves it; guarded by Set.mu
	ownsFile  bool              // stop removes the file of a unix socket; guarded by Set.mu

	open    atomic.Int64 // connections
	closed  atomic.Bool  // no further connection can be accepted
	drain   sync.Once
	drained chan struct{} // closed when closed is set and the last connection has closed
}

func newSocket(s *Set, ln net.Listener, o *ListenerOptions) *socket {
	k := &socket{set: s, address: o.Address, ipv6Only: o.IPv6Only, ln: ln, addr: ln.Addr(), drained: make(chan struct{})}
	k.metrics = s.metrics.newSocket(k)
	return k
}

// configure applies o and limits to new connections. If only certificates differ, existing connections are not retired.
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
	l.http3 = http3.Settings{Limits: http3.Limits(limits.Limits), Handler: (*http3Handler)(k.set)}
	l.http2 = http2.Settings{Limits: http2.Limits(limits.Limits), Handler: (*http2Handler)(k.set)}
	if o.TLS != nil {
		if old != nil && old.tls != nil && old.options.HTTP2 == o.HTTP2 && old.options.TLS.sameTrust(o.TLS) {
			l.tls = old.tls
			l.tls.use(o.TLS)
		} else {
			l.tls = newTLSSource(o.TLS, o.HTTP2)
		}
	}
	k.current.Store(l)
	if old != nil {
		old.retired.Store(true)
	}
}

// beginAccepting lets the loops accept. The caller holds Set.mu.
func (k *socket) beginAccepting() (err error) {
	if k.accepting == nil {
		k.accepting, err = k.set.loops.Listen(k.ln, k.accept, k.trouble)
	}
	if err == nil && k.udp != nil {
		if err = k.serveQUIC(k.udp); err == nil {
			k.udp = nil
		}
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

// stop ends accepting, after the connections in the accept queue. The file of a unix socket is removed first, so that no further
// client connects and another listener can use the path. The caller holds Set.mu.
func (k *socket) stop() {
	if k.stopped.Swap(true) {
		return
	}
	if path, isUnix := strings.CutPrefix(k.address, unixPrefix); isUnix && k.ownsFile {
		LeaveFile(k.ln) // when it is closed, the file may be another listener's
		os.Remove(path)
	}
	if k.accepting == nil {
		k.ln.Close()
	}
	k.stopQUIC()
	accepting := k.accepting
	k.set.retiring.Go(func() { k.retire(accepting) })
}

// stopQUIC ends HTTP/3. The caller holds Set.mu.
func (k *socket) stopQUIC() {
	if k.udp != nil {
		k.udp.Close()
		k.udp = nil
	}
	if k.quic != nil {
		k.altSvc.Store(nil)
		k.quic.stop()
		k.quic = nil
	}
}

// retire makes the connections close as they become idle. It returns after idleGrace, or when there are none left.
func (k *socket) retire(accepting *netloop.Listener) {
	grace := time.NewTimer(idleGrace)
	defer grace.Stop()
	k.set.each(k, (*conn).hurry)
	if accepting != nil {
		accepting.Close()
		<-k.set.each(k, func(*conn) {}) // now accepted connections have arrived on their loops
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

// leave is called for each connection that closes.
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
