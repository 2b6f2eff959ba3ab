package front

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Front is the client's side of the balancer.
type Front struct {
	log     hclog.Logger
	metrics *frontMetrics
	handler atomic.Pointer[Handler]
	refused atomic.Pointer[func(*Conn, Refusal)]

	draining atomic.Bool
	open     atomic.Int64 // connections being served
	away     atomic.Int64 // and those that are being told that there is no room for them
	perIP    ipCounter
	rounds   *rounds
	parking  parking

	lingerers lingerers

	mu      sync.Mutex // held to change what follows
	options Options
	sockets map[string]*socket // by address
	leaving []*socket          // removed by Apply, with connections left

	// usualHead is how much room for a head a connection has at first.
	usualHead int

	serving atomic.Bool
	stopped chan struct{} // closed when Serve may return

	running sync.WaitGroup // accept loops and connections
}

// New builds a front. Nothing is bound or started.
func New(o Options) *Front {
	f := &Front{
		log: o.Log, sockets: map[string]*socket{}, stopped: make(chan struct{}), rounds: newRounds(), usualHead: usualHead,
		parking: parking{after: parkAfter, newAfter: parkNewAfter, parked: map[uint64]*Conn{}},
	}
	if f.log == nil {
		f.log = hclog.NewNullLogger()
	}
	f.metrics = newFrontMetrics(o.Metrics)
	f.options = o.withDefaults()
	return f
}

// Listen binds all listeners, or none and says which ones failed and what to do about it: see Apply.
func (f *Front) Listen() error { return f.Apply(f.options) }

// Serve accepts connections until Shutdown and then returns nil. Listen comes first.
func (f *Front) Serve() error {
	f.mu.Lock()
	if len(f.sockets) == 0 {
		f.mu.Unlock()
		return errors.New("cannot serve: nothing is bound")
	}
	stop, err := f.parking.start()
	if err != nil {
		f.log.Warn("connections without requests will need more memory: they cannot be watched together", "error", err)
	}
	defer stop()
	if !f.draining.Load() {
		f.serving.Store(true)
		for _, s := range f.sockets {
			f.running.Go(s.acceptLoop)
		}
	}
	f.mu.Unlock()
	f.rounds.run(f)
	return nil
}

// Apply goes over to new options; on an error, which may join several *BindError, nothing has changed. Sockets whose address stays
// keep their descriptor and its queue; new ones are bound before removed ones are closed. New
// limits, certificates and the rest hold for connections to come. Connections that were
// accepted under other limits or by a listener that has gone end with their next response,
// or when they are idle. Log and Metrics stay as they were.
func (f *Front) Apply(o Options) error {
	o = o.withDefaults()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.draining.Load() {
		return errors.New("cannot change the listeners: shutting down")
	}
	bound, err := f.bindNew(o)
	if err != nil {
		return err
	}
	f.handler.Store(&o.Handler)
	f.refused.Store(&o.Refused)
	f.leaving = slices.DeleteFunc(f.leaving, func(s *socket) bool { return s.count() == 0 })
	wanted := map[string]bool{}
	for _, lo := range o.Listeners {
		wanted[lo.Address] = true
		if s := f.sockets[lo.Address]; s != nil {
			s.configure(lo, o.Limits)
			continue
		}
		s := newSocket(f, bound[lo.Address], lo.Address)
		s.ipv6Only = lo.IPv6Only
		s.ownsFile = o.Inherited[lo.Address] == nil
		s.configure(lo, o.Limits)
		f.sockets[lo.Address] = s
		if f.serving.Load() {
			f.running.Go(s.acceptLoop)
		}
	}
	for address, s := range f.sockets {
		if !wanted[address] {
			delete(f.sockets, address)
			f.leaving = append(f.leaving, s)
			s.stop()
			f.running.Go(s.retire)
		}
	}
	f.options = o
	f.metrics.showCertificates(o.Listeners)
	return nil
}

// bindNew opens the sockets of addresses that are not open yet.
func (f *Front) bindNew(o Options) (map[string]net.Listener, error) {
	bound := map[string]net.Listener{}
	seen := map[string]bool{}
	var failed []error
	for _, lo := range o.Listeners {
		if seen[lo.Address] {
			failed = append(failed, fmt.Errorf("cannot listen on %q: it is listed twice", lo.Address))
			continue
		}
		seen[lo.Address] = true
		if s := f.sockets[lo.Address]; s != nil {
			if s.ipv6Only != lo.IPv6Only {
				failed = append(failed, &BindError{Address: lo.Address, Reason: "ipv6_only changes with a restart alone", Err: syscall.EADDRINUSE})
			}
			continue
		}
		if inherited := o.Inherited[lo.Address]; inherited != nil {
			if err := CheckFamilies(inherited, lo.Address, lo.IPv6Only); err != nil {
				failed = append(failed, &BindError{Address: lo.Address, Reason: "stop lb and start it again, or change the unit of the socket", Err: err})
				continue
			}
			adopt(inherited)
			bound[lo.Address] = inherited
			continue
		}
		ln, err := Bind(lo.Address, lo.IPv6Only)
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

// Draining reports whether Shutdown has begun.
func (f *Front) Draining() bool { return f.draining.Load() }

// idleGrace is how long a connection that is between requests when it must end is given for a
// request that may be on its way.
const idleGrace = 250 * time.Millisecond

// Shutdown stops accepting and ends the connections: idle and silent ones within a quarter of a
// second, those with half a head when a second is over, those with a request when that is responded to (Conn.Draining
// tells the handler to announce it), and all that are left when ctx ends: then the error is ctx's. Upgraded ones then have a second
// to end as their protocol wants it. It returns when every
// goroutine has ended, but waits no longer than two seconds for handlers that do not notice the cut.
func (f *Front) Shutdown(ctx context.Context) error {
	f.mu.Lock()
	if f.draining.Swap(true) {
		f.mu.Unlock()
		return errors.New("cannot shut down twice")
	}
	defer close(f.stopped)
	for _, s := range f.sockets {
		s.stop()
		f.running.Go(s.retire)
	}
	f.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		f.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return f.closeMetrics(nil)
	case <-ctx.Done():
	}
	if f.warnUpgraded() {
		select {
		case <-ended:
			return f.closeMetrics(nil)
		case <-time.After(lastWords):
		}
	}
	cut := f.cutAll()
	err := fmt.Errorf("cannot end all connections in time: %d were cut: %w", cut, context.Cause(ctx))
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		err = fmt.Errorf("%w; %d handlers still run", err, f.open.Load())
	}
	return f.closeMetrics(err)
}

func (f *Front) closeMetrics(err error) error {
	f.metrics.close()
	return err
}

// Files returns duplicates of the listening sockets by address, to be handed to another process
// as Options.Inherited. See LeaveFiles.
func (f *Front) Files() (map[string]*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	files := map[string]*os.File{}
	for address, s := range f.sockets {
		file, err := Duplicate(s.ln)
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
func (f *Front) LeaveFiles() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sockets {
		LeaveFile(s.ln)
		s.ownsFile = false
	}
}

// Listeners returns the listeners in force, in the order of the options.
func (f *Front) Listeners() []*Listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*Listener
	for _, lo := range f.options.Listeners {
		if s := f.sockets[lo.Address]; s != nil {
			all = append(all, s.current.Load())
		}
	}
	return all
}
