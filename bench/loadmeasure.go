package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// largeBody is from where on a closed loop counts bytes instead of requests: the few requests in flight when it
// begins and ends would be a large part of all.
const largeBody = 64 << 10

func measureClosedLoop(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	return underLoad(r.process.pid, func() (load, error) {
		l, err := b.generate(ctx, s, r, b.options.duration)
		return l.byBytes(s.size), err
	})
}

// generate keeps the balancer busy in a closed loop, by the generator for the scenario's protocol.
func (b *bench) generate(ctx context.Context, s scenario, r *running, duration time.Duration) (load, error) {
	connections := s.clients(b.options)
	switch s.protocol {
	case protocolHTTP2:
		return b.h2load.run(ctx, b.request(s, r), connections, s.streams, duration)
	case protocolHTTP3:
		return http3Loop(ctx, s.url(r), connections, duration)
	default:
		return b.wrk.run(ctx, b.request(s, r), connections, duration)
	}
}

func (b *bench) request(s scenario, r *running) request {
	wanted := request{url: s.url(r), post: s.post, close: s.close, accept: s.accept}
	if s.grpc {
		wanted.message = b.message
	}
	return wanted
}

// byBytes counts responses with large bodies by the bytes received, without heads.
func (l load) byBytes(size int) load {
	if size >= largeBody {
		l.requests = max(1, (l.bytes+size/2)/size)
	}
	return l
}

func measureOpenLoop(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	return underLoad(r.process.pid, func() (load, error) {
		return openLoop(ctx, r.address, s.path, s.clients(b.options), s.rate, b.options.duration)
	})
}

func measureHandshakes(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	return underLoad(r.process.pid, func() (load, error) {
		return handshakeLoop(ctx, r.tls, s.path, s.clients(b.options), 0, b.options.duration)
	})
}

// underLoad relates the CPU time that a balancer's processes used while the load ran to the requests that
// succeeded. A measurement with any error is invalid: failed requests have another cost.
func underLoad(pid int, generate func() (load, error)) (sample, error) {
	before, err := readUsage(pid)
	if err != nil {
		return nil, err
	}
	l, err := generate()
	if err != nil {
		return nil, err
	}
	after, err := readUsage(pid)
	if err != nil {
		return nil, err
	}
	if l.errors > 0 {
		return nil, fmt.Errorf("%d of %d requests failed", l.errors, l.requests+l.errors)
	}
	used := after.since(before)
	return sample{
		"cpu_us":  microseconds(used.subject) / float64(l.requests),
		"rps":     float64(l.requests) / l.seconds,
		"p50_us":  l.p50,
		"p99_us":  l.p99,
		"p999_us": l.p999,
		"max_us":  l.max,
		otherLoad: used.otherCores(),
	}, nil
}

// usage is CPU time at a moment.
type usage struct {
	at      time.Time
	subject time.Duration // of the balancer's processes
	run     time.Duration // of the harness with all that it started, the balancer included
	machine time.Duration // of everything
}

func readUsage(pid int) (u usage, err error) {
	u.at = time.Now()
	if u.subject, err = treeCPU(pid); err != nil {
		return u, err
	}
	if u.run, err = treeCPU(os.Getpid()); err != nil {
		return u, err
	}
	u.machine, err = machineCPU()
	return u, err
}

// spent is CPU time during a period.
type spent struct{ wall, subject, run, machine time.Duration }

func (u usage) since(before usage) spent {
	return spent{u.at.Sub(before.at), u.subject - before.subject, u.run - before.run, u.machine - before.machine}
}

// otherCores is how many cores were kept busy by programs that are no part of the run.
func (s spent) otherCores() float64 {
	return max(0, float64(s.machine-s.run)/float64(s.wall))
}
