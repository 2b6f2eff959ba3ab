package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// largeBody is from where on a closed loop counts bytes instead of requests: those that are under way when it
// begins and ends would be a part of few.
const largeBody = 64 << 10

func measureClosedLoop(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	return underLoad(r.process.pid, func() (load, error) {
		l, err := b.wrk.run(ctx, s.request(r), s.clients(b.options), b.options.duration)
		return l.byBytes(s.size), err
	})
}

func (s scenario) request(r *running) request {
	return request{url: s.url(r), post: s.post, close: s.close}
}

// byBytes counts responses with large bodies by the bytes that came, heads left out of account.
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
// were answered. A measurement with any error is none: answers that fail cost something else.
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

// checkAnswer makes sure that what is about to be measured is the right answer. A size of 0 is not checked.
func checkAnswer(ctx context.Context, url string, size int) error {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("cannot get %s: %w", url, err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return fmt.Errorf("cannot read the answer to %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK || size > 0 && n != int64(size) {
		return fmt.Errorf("%s answers %s with %d bytes, want 200 with %d", url, response.Status, n, size)
	}
	return nil
}
