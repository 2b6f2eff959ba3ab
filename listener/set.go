package listener

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"lb/http1"
	"lb/netloop"
)

// A Set is the listening sockets of the balancer and the connections that came by them.
type Set struct {
	loops   *netloop.Loops
	workers []*worker // by the index of their loop
	log     hclog.Logger
	metrics *setMetrics
	handle  atomic.Pointer[func(*http1.Stream)]
	refused atomic.Pointer[func(*http1.Conn, *http1.Refusal)]

	open      atomic.Int64 // connections being served
	away      atomic.Int64 // and those over a limit that are being refused
	addresses addressCounter

	mu      sync.Mutex // held to change what follows
	options Options
	sockets map[string]*socket // by address
	leaving []*socket          // removed by Apply, with connections left
	serving bool

	draining atomic.Bool
	stopped  chan struct{} // closed when Serve may return
	retiring sync.WaitGroup
}

// New makes a set. Nothing is bound or started. The loops must have been started.
func New(o Options) *Set {
	o = o.withDefaults()
	s := &Set{loops: o.Loops, log: o.Log, metrics: newSetMetrics(o.Metrics), options: o, sockets: map[string]*socket{}, stopped: make(chan struct{})}
	for _, loop := range o.Loops.All() {
		s.workers = append(s.workers, &worker{Worker: http1.Worker{Loop: loop}, loops: len(o.Loops.All())})
	}
	return s
}

// Listen binds all listeners, or none and says which ones failed and what to do about it: see Apply.
func (s *Set) Listen() error { return s.Apply(s.options) }

// Serve accepts connections until Shutdown and then returns nil. Listen comes first.
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

// Apply goes over to new options; on an error, which may join several *BindError, nothing has changed. Sockets whose address
// stays keep their descriptor and its queue; new ones are bound before removed ones are closed. New limits, certificates and
// the rest hold for connections to come. Connections that were accepted under other limits end with their next response,
// those of a listener that has gone also when they are idle. Loops, Log and Metrics stay as they were.
func (s *Set) Apply(o Options) error {
	o = o.withDefaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return errors.New("cannot change the listeners: shutting down")
	}
	added, err := s.add(&o)
	if err != nil {
		return err
	}
	s.handle.Store(&o.Handler)
	s.refused.Store(&o.Refused)
	s.leaving = slices.DeleteFunc(s.leaving, (*socket).hasDrained)
	wanted := map[string]bool{}
	for i := range o.Listeners {
		lo := &o.Listeners[i]
		wanted[lo.Address] = true
		if k := s.sockets[lo.Address]; k != nil {
			k.configure(lo, &o.Limits)
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
	s.metrics.showCertificates(o.Listeners)
	return nil
}

// add opens the sockets of addresses that are not open yet, or none. The caller holds s.mu.
func (s *Set) add(o *Options) (map[string]*socket, error) {
	bound, err := s.bindNew(o)
	if err != nil {
		return nil, err
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
		added[lo.Address] = k
		if s.serving {
			if err := k.beginAccepting(); err != nil {
				for _, k := range added {
					k.stop()
				}
				return nil, err
			}
		}
	}
	return added, nil
}

// bindNew opens the listening sockets of addresses that are not open yet.
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
				failed = append(failed, &BindError{Address: lo.Address, Reason: "ipv6_only changes with a restart alone", Err: syscall.EADDRINUSE})
			}
			continue
		}
		ln, err := open(lo, o.Inherited[lo.Address])
		if err != nil {
			failed = append(failed, err)
			continue
		}
		bound[lo.Address] = ln
	}
	if len(failed) == 0 {
		return bound, nil
	}
	for address, ln := range bound {
		if o.Inherited[address] == nil {
			ln.Close()
		}
	}
	return nil, errors.Join(failed...)
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

// Draining reports whether Shutdown has begun.
func (s *Set) Draining() bool { return s.draining.Load() }

// Open returns how many connections are being served.
func (s *Set) Open() int { return int(s.open.Load()) }

// Files returns duplicates of the listening sockets by address, to be handed to another process
// as Options.Inherited. See LeaveFiles.
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

// LeaveFiles makes the files of Unix sockets stay at stop, since another process serves there.
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
	if r.Label != "" {
		h.metrics.rejected(r.Label)
	}
	h.log.Debug("request refused", "peer", c.Info.Peer, "status", r.Status, "reason", r.Reason)
	if refused := *h.refused.Load(); refused != nil {
		refused(c, r)
	}
}

func (h *handler) Panicked(v any) {
	h.metrics.panics.Inc()
	h.log.Error("handler panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}
