package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"lb/http1"
	"lb/http2"
	"lb/http3"
	"lb/netloop"
)

// A Set holds the listening sockets of the balancer and their connections.
type Set struct {
	loops    *netloop.Loops
	workers  []*worker // by the index of their loop
	log      hclog.Logger
	metrics  *setMetrics
	handle   atomic.Pointer[func(*http1.Stream)]
	handle2  atomic.Pointer[func(*http2.Stream)]
	handle3  atomic.Pointer[func(*http3.Stream)]
	refused  atomic.Pointer[func(*http1.Conn, *http1.Refusal)]
	refused2 atomic.Pointer[func(*http2.Conn, *http2.Refusal)]
	refused3 atomic.Pointer[func(*http3.Conn, *http3.Refusal)]

	open      atomic.Int64 // connections being served
	refusing  atomic.Int64 // connections over a limit that are being refused
	addresses addressCounter
	granted   atomic.Int64 // bytes by which the windows of QUIC connections have grown

	mu      sync.Mutex // guards what follows
	options Options
	sockets map[string]*socket // by address
	leaving []*socket          // removed by Apply, and still with connections
	// endingQUIC are the latest UDP sockets on which HTTP/3 was stopped and connections are left, by address.
	endingQUIC map[string]*quicSocket
	serving    bool

	draining atomic.Bool
	stopped  chan struct{} // closed when Serve may return
	cut      chan struct{} // closed when Shutdown cuts what is left
	retiring sync.WaitGroup
}

// New makes a set without binding or starting anything. The loops must have been started.
func New(o Options) *Set {
	o = o.withDefaults()
	s := &Set{loops: o.Loops, log: o.Log, metrics: newSetMetrics(o.Metrics), options: o, sockets: map[string]*socket{}, endingQUIC: map[string]*quicSocket{}, stopped: make(chan struct{}), cut: make(chan struct{})}
	for _, loop := range o.Loops.All() {
		s.workers = append(s.workers, &worker{Worker: http1.Worker{Loop: loop}, http2: http2.Worker{Loop: loop}, http3: http3.Worker{Loop: loop}, loops: len(o.Loops.All())})
	}
	return s
}

// Listen binds all listeners. On an error, as of Apply, none is bound.
func (s *Set) Listen() error { return s.Apply(s.options) }

// Serve accepts connections until Shutdown and then returns nil. Listen must be called first.
func (s *Set) Serve() error {
	if err := s.beginAccepting(); err != nil {
		return err
	}
	<-s.stopped
	return nil
}

func (s *Set) beginAccepting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sockets) == 0 {
		return errors.New("cannot serve: nothing is bound")
	}
	if s.draining.Load() {
		return nil
	}
	s.serving = true
	var failed []error
	for _, k := range s.sockets {
		failed = append(failed, k.beginAccepting())
	}
	return errors.Join(failed...)
}

// Apply changes the options. On an error, which may join several *BindError, nothing has changed. Sockets whose address stays keep
// their descriptor and accept queue; new ones are bound before removed ones are closed. The new options apply to new connections.
// Connections that were accepted with other options close after their next response, and those of removed listeners also when they are
// idle. Loops, Log and Metrics cannot be changed.
func (s *Set) Apply(o Options) error {
	o = o.withDefaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return errors.New("cannot change the listeners: shutting down")
	}
	added, udp, err := s.add(&o)
	if err != nil {
		return err
	}
	s.handle.Store(&o.Handler)
	s.handle2.Store(&o.HTTP2Handler)
	s.handle3.Store(&o.HTTP3Handler)
	s.refused.Store(&o.Refused)
	s.refused2.Store(&o.HTTP2Refused)
	s.refused3.Store(&o.HTTP3Refused)
	s.leaving = slices.DeleteFunc(s.leaving, (*socket).hasDrained)
	wanted := map[string]bool{}
	for i := range o.Listeners {
		lo := &o.Listeners[i]
		wanted[lo.Address] = true
		if k := s.sockets[lo.Address]; k != nil {
			k.configure(lo, &o.Limits)
			k.configureQUIC(lo, udp[lo.Address])
		} else {
			s.sockets[lo.Address] = added[lo.Address]
		}
	}
	for address, k := range s.sockets {
		if !wanted[address] {
			delete(s.sockets, address)
			s.leaving = append(s.leaving, k)
			k.stop()
		}
	}
	s.options = o
	return nil
}

// add opens the sockets for new addresses, and the UDP sockets for those that get HTTP/3, or none on an error. The caller holds s.mu.
func (s *Set) add(o *Options) (map[string]*socket, map[string]*PacketSocket, error) {
	bound, err := s.bindNew(o)
	if err != nil {
		return nil, nil, err
	}
	udp, err := s.bindQUIC(o, bound)
	if err != nil {
		closeNew(o, bound)
		return nil, nil, err
	}
	added := map[string]*socket{}
	for i := range o.Listeners {
		lo := &o.Listeners[i]
		ln := bound[lo.Address]
		if ln == nil {
			continue
		}
		k := newSocket(s, ln, lo)
		k.ownsFile = o.Inherited[lo.Address] == nil
		k.configure(lo, &o.Limits)
		k.udp = udp[lo.Address]
		delete(udp, lo.Address)
		added[lo.Address] = k
		if s.serving {
			if err := k.beginAccepting(); err != nil {
				for _, k := range added {
					k.stop()
				}
				for _, from := range udp {
					from.Close()
				}
				return nil, nil, err
			}
		}
	}
	return added, udp, nil
}

// bindNew binds the listening sockets for new addresses, or none on an error.
func (s *Set) bindNew(o *Options) (map[string]net.Listener, error) {
	bound := map[string]net.Listener{}
	seen := map[string]bool{}
	var failed []error
	for i := range o.Listeners {
		lo := &o.Listeners[i]
		if seen[lo.Address] {
			failed = append(failed, fmt.Errorf("cannot listen on %q: it is listed twice", lo.Address))
			continue
		}
		seen[lo.Address] = true
		if k := s.sockets[lo.Address]; k != nil {
			if k.ipv6Only != lo.IPv6Only {
				failed = append(failed, &BindError{Address: lo.Address, Reason: "ipv6_only can be changed only by a restart", Err: syscall.EADDRINUSE})
			}
			continue
		}
		ln, err := open(lo, o.Inherited[lo.Address])
		for range portTries {
			if err != nil || !lo.HTTP3 || !strings.HasSuffix(lo.Address, ":0") || hasUDPPort(lo, ln.Addr()) {
				break
			}
			ln.Close()
			ln, err = open(lo, nil)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		bound[lo.Address] = ln
	}
	if len(failed) == 0 {
		return bound, nil
	}
	closeNew(o, bound)
	return nil, errors.Join(failed...)
}

// portTries is how many ports are tried where the system chooses one, until its number is free for UDP, too.
const portTries = 20

// closeNew closes the sockets that were not inherited.
func closeNew(o *Options, bound map[string]net.Listener) {
	for address, ln := range bound {
		if o.Inherited[address] == nil {
			ln.Close()
		}
	}
}

// open returns the inherited socket, if there is one, or a new one.
func open(o *ListenerOptions, inherited net.Listener) (net.Listener, error) {
	if inherited == nil {
		return Bind(o.Address, o.IPv6Only)
	}
	if err := CheckFamilies(inherited, o.Address, o.IPv6Only); err != nil {
		return nil, &BindError{Address: o.Address, Reason: "stop lb and start it again, or change the unit of the socket", Err: err}
	}
	adopt(inherited)
	return inherited, nil
}

// SetTicketKeys has the listener of an address encrypt session tickets by the first key, and accept those that were encrypted by any of
// them. Until it is called the listener has random keys of its own. It does nothing if there is no such listener with TLS, or no key.
func (s *Set) SetTicketKeys(address string, keys [][32]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.sockets[address]; k != nil && len(keys) > 0 {
		if t := k.current.Load().tls; t != nil {
			t.setTicketKeys(keys)
		}
	}
}

// Draining reports whether Shutdown has begun.
func (s *Set) Draining() bool { return s.draining.Load() }

// Open returns how many connections are being served.
func (s *Set) Open() int { return int(s.open.Load()) }

// Files returns duplicates of the listening sockets by address, for another process as Options.Inherited. See LeaveFiles.
func (s *Set) Files() (map[string]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]*os.File{}
	for address, k := range s.sockets {
		file, err := k.file()
		if err != nil {
			for _, file := range files {
				file.Close()
			}
			return nil, fmt.Errorf("cannot hand over listener %q: %w", address, err)
		}
		files[address] = file
	}
	return files, nil
}

// LeaveFiles makes the files of unix sockets stay when lb stops, because another process serves them.
func (s *Set) LeaveFiles() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.sockets {
		LeaveFile(k.ln)
		k.ownsFile = false
	}
}

// Listeners returns the listeners in force, in the order of the options.
func (s *Set) Listeners() []*Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Listener
	for i := range s.options.Listeners {
		if k := s.sockets[s.options.Listeners[i].Address]; k != nil {
			all = append(all, k.current.Load())
		}
	}
	return all
}

// handler is a Set as the http1.Handler of its connections.
type handler Set

func (h *handler) Serve(s *http1.Stream) { (*h.handle.Load())(s) }

func (h *handler) Refused(c *http1.Conn, r *http1.Refusal) {
	h.note(c.Info.Peer, r.Status, r.Label, r.Reason)
	if refused := *h.refused.Load(); refused != nil {
		refused(c, r)
	}
}

// note counts and logs a request that was refused.
func (h *handler) note(peer netip.AddrPort, status int, label, reason string) {
	if label != "" {
		h.metrics.rejected(label)
	}
	h.log.Debug("request refused", "peer", peer, "status", status, "reason", reason)
}

func (h *handler) Panicked(v any) { (*Set)(h).Panicked(v, debug.Stack()) }

// Panicked counts and logs a panic with value v while serving a request, on a loop or in another goroutine.
func (s *Set) Panicked(v any, stack []byte) {
	s.metrics.panics.Inc()
	s.log.Error("handler panicked", "panic", fmt.Sprint(v), "stack", string(stack))
}
