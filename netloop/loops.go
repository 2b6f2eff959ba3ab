package netloop

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Options are the options of New. The zero value is valid.
type Options struct {
	// Loops is the number of loops. Default: runtime.GOMAXPROCS(0).
	Loops int
	// Handshakes is how many TLS handshakes may compute at a time; those that wait for their peers do not count. If GOMAXPROCS goroutines
	// compute, a loop with events may wait for ten milliseconds or longer, because Go polls for events only when it has nothing else to
	// run. So GOMAXPROCS should be larger than the number of loops, and Handshakes the difference. Default: that difference if it is
	// positive, else GOMAXPROCS less one, and at least one.
	Handshakes int
	// Delay, if set, is called after each batch of events, tasks and timers, on the loop's goroutine, with the longest time that one of them
	// had to wait for the loop.
	Delay func(loop int, wait time.Duration)
	// Panicked is called with the value and the stack of a panic in a handler, timer, task or TLS handshake, whose goroutine calls it. The
	// loop goes on. A handler that has panicked gets Failed, and its socket is reset unless it was closed then. A handshake that has
	// panicked fails. Default: the panic ends the process.
	Panicked func(value any, stack []byte)
	// Poison, if set, overwrites returned buffers, so that tests detect their use.
	Poison func([]byte)
}

// Loops is a set of loops that share new connections evenly.
type Loops struct {
	options   Options
	loops     []*Loop
	ctx       context.Context
	computing chan struct{}  // a semaphore for handshakes that compute
	running   sync.WaitGroup // loops, and the goroutines that they started
}

// New returns loops that Start starts.
func New(options Options) *Loops {
	if options.Loops <= 0 {
		options.Loops = runtime.GOMAXPROCS(0)
	}
	if procs := runtime.GOMAXPROCS(0); options.Handshakes <= 0 {
		options.Handshakes = procs - options.Loops
		if options.Handshakes <= 0 {
			options.Handshakes = max(1, procs-1)
		}
	}
	return &Loops{options: options, computing: make(chan struct{}, options.Handshakes)}
}

// Start starts the loops. They stop when ctx ends: every socket then fails with ErrStopped, and the loops wait for the goroutines of
// Loop.Go, whose context is ctx.
func (ls *Loops) Start(ctx context.Context) error {
	ls.ctx = ctx
	ls.loops = make([]*Loop, ls.options.Loops)
	for i := range ls.loops {
		l := &Loop{set: ls, index: i}
		l.driver.loop = l
		l.tick()
		l.buffers.poison = ls.options.Poison
		l.buffers.trim.Init(l, &l.buffers)
		if err := l.driver.open(); err != nil {
			for _, opened := range ls.loops[:i] {
				opened.driver.close()
			}
			return fmt.Errorf("cannot start an event loop: %w", err)
		}
		ls.loops[i] = l
	}
	for _, l := range ls.loops {
		ls.running.Add(1)
		go func() {
			defer ls.running.Done()
			l.run()
		}()
	}
	context.AfterFunc(ctx, func() {
		for _, l := range ls.loops {
			l.Post(TaskFunc(l.stop))
		}
	})
	return nil
}

// Wait returns when every loop has stopped and every goroutine that it started has ended.
func (ls *Loops) Wait() { ls.running.Wait() }

// All returns the loops in the order of their indexes, and nil before Start.
func (ls *Loops) All() []*Loop { return ls.loops }
