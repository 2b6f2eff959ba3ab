package front

import (
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Listener is what a listener was told, and what a request may know of the one it came by.
// It never changes; a reload makes another, for connections to come.
type Listener struct {
	Address       string // as configured
	TLS           bool
	RedirectHTTPS bool

	options ListenerOptions
	limits  Limits
	socket  *socket
	tls     *tlsSource
	retired atomic.Bool // its connections should end when they can
}

// Addr is the bound address: with port 0, the real one.
func (l *Listener) Addr() net.Addr { return l.socket.ln.Addr() }

// socket is an open listening socket and the connections that came by it. It outlives its
// Listeners.
type socket struct {
	front    *Front
	address  string
	ipv6Only bool
	ln       net.Listener
	metrics  *socketMetrics
	current  atomic.Pointer[Listener]
	gone     atomic.Bool   // stopped for good
	stopped  chan struct{} // closed by stop
	// ownsFile says that the file of a Unix socket goes with it; under Front.mu.
	ownsFile bool

	mu      sync.Mutex
	active  map[*Conn]struct{}
	parked  map[*Conn]struct{} // see parking
	closed  bool               // no connection can come any more
	drained chan struct{}      // closed when closed holds and the last connection has ended
}

func newSocket(f *Front, ln net.Listener, address string) *socket {
	s := &socket{front: f, address: address, ln: ln, stopped: make(chan struct{}), active: map[*Conn]struct{}{}, parked: map[*Conn]struct{}{}, drained: make(chan struct{})}
	s.metrics = f.metrics.newSocket(s)
	return s
}

// configure makes o and limits hold for connections to come. If only certificates differ,
// connections of before go on as they are.
func (s *socket) configure(o ListenerOptions, limits Limits) {
	old := s.current.Load()
	if old != nil && old.limits == limits && sameBehaviour(old.options, o) {
		if o.TLS != nil {
			old.tls.use(o.TLS)
		}
		return
	}
	l := &Listener{
		Address: o.Address, TLS: o.TLS != nil, RedirectHTTPS: o.RedirectHTTPS,
		options: o, limits: limits, socket: s,
	}
	if o.TLS != nil {
		if old != nil && old.tls != nil && old.options.TLS.sameTrust(o.TLS) {
			l.tls = old.tls
			l.tls.use(o.TLS)
		} else {
			l.tls = newTLSSource(o.TLS)
		}
	}
	s.current.Store(l)
	if old != nil {
		old.retired.Store(true)
	}
}

// sameBehaviour compares all but certificates.
func sameBehaviour(a, b ListenerOptions) bool {
	return a.ProxyProtocol == b.ProxyProtocol && a.RedirectHTTPS == b.RedirectHTTPS &&
		slices.Equal(a.TrustedProxies, b.TrustedProxies) &&
		(a.TLS == nil) == (b.TLS == nil) && (a.TLS == nil || a.TLS.sameTrust(b.TLS))
}

func (s *socket) add(c *Conn) {
	s.mu.Lock()
	s.active[c] = struct{}{}
	s.mu.Unlock()
}

func (s *socket) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, c)
	s.checkDrained()
}

// closeListener closes the listening socket when nothing accepts from it any more. It is called once.
func (s *socket) closeListener() {
	s.ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.checkDrained()
}

// checkDrained is called after each step towards drained, of which the last comes once. The caller holds s.mu.
func (s *socket) checkDrained() {
	if s.closed && len(s.active)+len(s.parked) == 0 {
		close(s.drained)
	}
}

// setParked moves c between the two sets.
func (s *socket) setParked(c *Conn, parked bool) {
	from, to := s.active, s.parked
	if !parked {
		from, to = to, from
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(from, c)
	to[c] = struct{}{}
	if len(s.parked) == 0 {
		s.parked = map[*Conn]struct{}{} // see parking.release
	}
}

func (s *socket) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.active) + len(s.parked)
}

func (s *socket) each(do func(*Conn)) {
	s.mu.Lock()
	conns := slices.AppendSeq(slices.Collect(maps.Keys(s.active)), maps.Keys(s.parked))
	s.mu.Unlock()
	for _, c := range conns {
		do(c)
	}
}

// lastAccepts is how long the queue of a listening socket is emptied before it is closed.
const lastAccepts = 20 * time.Millisecond

// stop ends accepting. What the kernel has queued is still accepted. The file of a Unix socket goes first, so that
// nobody comes any more and another listener can have the path. The caller holds Front.mu.
func (s *socket) stop() {
	if s.gone.Swap(true) {
		return
	}
	close(s.stopped)
	if path, isUnix := strings.CutPrefix(s.address, unixPrefix); isUnix && s.ownsFile {
		LeaveFile(s.ln) // by then it may be another's
		os.Remove(path)
	}
	if !s.front.serving.Load() {
		s.closeListener()
		return
	}
	if d, ok := s.ln.(interface{ SetDeadline(time.Time) error }); ok {
		if d.SetDeadline(time.Now().Add(lastAccepts)) == nil {
			return // acceptLoop closes it
		}
	}
	s.ln.Close()
}

// retire ends the connections as they become idle. It returns after the grace for idle ones, or when there are none left.
func (s *socket) retire() {
	s.each((*Conn).hurry)
	grace := time.NewTimer(idleGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
		s.each((*Conn).closeIfSilent)
	case <-s.drained:
	}
	s.metrics.retire()
}

// ending reports whether the listener's connections must end as soon as they are idle.
func (l *Listener) ending() bool { return l.socket.front.draining.Load() || l.socket.gone.Load() }

// retiring reports whether the listener's connections should end with the next response.
func (l *Listener) retiring() bool { return l.ending() || l.retired.Load() }

// cutAll closes every connection that is left.
func (f *Front) cutAll() int {
	cut := 0
	f.each(func(c *Conn) {
		c.raw.Close()
		f.parking.wake(c)
		cut++
	})
	return cut
}

// lastWords is how long upgraded connections are given to end before they are cut.
const lastWords = time.Second

// warnUpgraded tells the upgraded connections that they will be cut. It reports whether there are any.
func (f *Front) warnUpgraded() bool {
	any := false
	f.each(func(c *Conn) {
		if beforeCut := c.beforeCut.Load(); beforeCut != nil {
			(*beforeCut)()
			any = true
		}
	})
	return any
}

// each does something to every connection.
func (f *Front) each(do func(*Conn)) {
	for _, s := range f.allSockets() {
		s.each(do)
	}
}

// allSockets returns those in force and those that are leaving.
func (f *Front) allSockets() []*socket {
	f.mu.Lock()
	defer f.mu.Unlock()
	sockets := slices.Clone(f.leaving)
	for _, s := range f.sockets {
		sockets = append(sockets, s)
	}
	return sockets
}
