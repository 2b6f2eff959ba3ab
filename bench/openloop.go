package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// openLoop sends requests at a fixed mean rate whether or not the responses to earlier ones have arrived: when
// every connection is busy, requests wait, and their latency runs from the moment at which they were due.
// (h2load's --rps starts all its clients at once, so that its requests are sent in bursts of as many as there
// are clients; wrk has no rate.)
func openLoop(ctx context.Context, address, path string, connections, rate int, duration time.Duration) (load, error) {
	clients := make([]*client, connections)
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.conn.Close()
			}
		}
	}()
	for i := range clients {
		var err error
		if clients[i], err = dialClient(address, path); err != nil {
			return load{}, fmt.Errorf("cannot connect to the balancer: %w", err)
		}
	}
	moments := arrivals(rate, duration)
	due := make(chan time.Time, len(moments)) // It never blocks the pacer.
	latencies := make([][]time.Duration, connections)
	var failed atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for i, c := range clients {
		latencies[i] = make([]time.Duration, 0, 2*len(moments)/connections+16)
		group.Go(func() {
			for at := range due {
				if err := c.exchange(); err != nil {
					failed.Add(1)
					return // The connection's state is unknown; the others carry on.
				}
				latencies[i] = append(latencies[i], time.Since(at))
			}
		})
	}
	group.Go(func() {
		defer close(due)
		pace(ctx, start, moments, due)
	})
	group.Wait()
	if ctx.Err() != nil {
		return load{}, ctx.Err()
	}
	return summarizeLatencies(slices.Concat(latencies...), time.Since(start), int(failed.Load())+len(due))
}

// arrivals are the moments, after the start, of a Poisson process: requests of many independent
// clients. Every balancer and every round gets the same ones.
func arrivals(rate int, duration time.Duration) []time.Duration {
	random := rand.New(rand.NewPCG(1, 2))
	mean := float64(time.Second) / float64(rate)
	var moments []time.Duration
	for at := random.ExpFloat64() * mean; at < float64(duration); at += random.ExpFloat64() * mean {
		moments = append(moments, time.Duration(at))
	}
	return moments
}

// pace sends each due time when it is reached. It sleeps in the kernel on a thread of its own: Go's timers are as
// coarse as epoll's timeout, a millisecond, which would make bursts.
func pace(ctx context.Context, start time.Time, moments []time.Duration, due chan<- time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, moment := range moments {
		at := start.Add(moment)
		if wait := time.Until(at); wait > 0 {
			pause := syscall.NsecToTimespec(int64(wait))
			_ = syscall.Nanosleep(&pause, nil) // Woken early by a signal, one request is sent early.
		}
		if ctx.Err() != nil {
			return
		}
		due <- at
	}
}

func summarizeLatencies(latencies []time.Duration, elapsed time.Duration, errors int) (load, error) {
	if len(latencies) == 0 {
		return load{}, fmt.Errorf("no response at all, %d errors", errors)
	}
	slices.Sort(latencies)
	return load{
		requests: len(latencies),
		seconds:  elapsed.Seconds(),
		p50:      microseconds(percentile(latencies, 0.50)),
		p99:      microseconds(percentile(latencies, 0.99)),
		p999:     microseconds(percentile(latencies, 0.999)),
		max:      microseconds(latencies[len(latencies)-1]),
		errors:   errors,
	}, nil
}

// percentile takes sorted values and returns the smallest one that at least the share q of them do not exceed.
func percentile(sorted []time.Duration, q float64) time.Duration {
	rank := int(math.Ceil(q*float64(len(sorted))-1e-9)) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
