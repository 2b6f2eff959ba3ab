package netloop

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Options of New. The zero value is good.
type Options struct {
	// Loops is how many loops there are. Default: runtime.GOMAXPROCS(0).
	Loops int
	// Handshakes is how many TLS handshakes compute at a time; those that wait for their peers do not count. While as many
	// goroutines compute as runtime.GOMAXPROCS allows, a loop that has something to do waits for ten milliseconds and more: Go
	// looks for events when it has nothing else to run. So set GOMAXPROCS to more than there are loops, and this to the difference. Default: that
	// difference, or GOMAXPROCS less one, and at least one.
	Handshakes int
	// Delay is told how long something that was ready had to wait for its loop: the longest wait in each batch of events,
	// tasks and timers. It is called on the goroutine of the loop with this index. Default: nobody is told.
	Delay func(loop int, wait time.Duration)
	// Poison overwrites buffers that were given back, so that tests find those who still use one. Default: nothing does.
	Poison func([]byte)
}

// Loops are loops that share new connections evenly.
type Loops struct {
	options   Options
	loops     []*Loop
	ctx       context.Context
	computing chan struct{}  // holds one for each handshake that computes
	running   sync.WaitGroup // loops, and the goroutines of Loop.Go
}

// New makes loops. Nothing runs before Start.
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

// Start starts the loops. They stop when ctx ends: every socket then fails with ErrStopped, and what Loop.Go has begun
// is waited for, its context being ctx.
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

// All returns the loops, in the order of their indexes. They exist from Start on.
func (ls *Loops) All() []*Loop { return ls.loops }
