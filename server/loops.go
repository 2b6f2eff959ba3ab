package server

import (
	"context"
	"runtime"
	"time"

	"lb/internal/poison"
	"lb/netloop"
	"lb/proxy"
	"lb/transport"
)

// startLoops starts the event loops, which own all connections.
func (s *Server) startLoops() error {
	loops := runtime.GOMAXPROCS(0)
	if loops == 1 {
		// Otherwise a loop would wait until a goroutine that computes is preempted, which takes 10 ms.
		runtime.GOMAXPROCS(2)
	}
	delays := s.registry.NewScope().LoopHistogram("lb_loop_delay_seconds")
	var ctx context.Context
	ctx, s.stopLoops = context.WithCancel(context.Background())
	s.loops = netloop.New(netloop.Options{
		Loops:    loops,
		Delay:    delays.ObserveOn,
		Panicked: func(v any, stack []byte) { s.front.Panicked(v, stack) },
		Poison:   poison.Fill,
	})
	if err := s.loops.Start(ctx); err != nil {
		s.stopLoops()
		return err
	}
	s.backendWorkers = transport.NewWorkers(s.loops.All())
	for _, l := range s.loops.All() {
		s.workers = append(s.workers, &proxy.Worker{Loop: l})
		l.Post(netloop.TaskFunc((&delaySampler{loop: l}).start))
	}
	return nil
}

// sampleInterval is how often a delaySampler expires.
const sampleInterval = time.Second

// delaySampler is a timer of one loop. A loop that sleeps learns only from a timer that it was woken late.
type delaySampler struct {
	loop  *netloop.Loop
	timer netloop.Timer
}

func (d *delaySampler) start() {
	d.timer.Init(d.loop, d)
	d.timer.Reset(sampleInterval)
}

// Expired implements netloop.TimerHandler.
func (d *delaySampler) Expired(*netloop.Timer) { d.timer.Reset(sampleInterval) }
