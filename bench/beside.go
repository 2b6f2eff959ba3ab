package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	handshakeRate    = 2000 // a second
	handshakeClients = 64
	// handshakesArgument is the first argument of the harness as a generator of TLS handshakes.
	handshakesArgument = "handshakes"
)

// besideWork measures the latency of small requests alone and beside work, in random order. work begins the work and
// returns a function that waits for its end.
func besideWork(ctx context.Context, b *bench, s scenario, r *running, work func() (wait func() (sample, error), err error)) (sample, error) {
	result := sample{}
	before, err := readUsage(r.process.pid)
	if err != nil {
		return nil, err
	}
	states := []string{"calm", "busy"}
	rand.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
	for _, state := range states {
		wait := func() (sample, error) { return nil, nil }
		if state == "busy" {
			var err error
			if wait, err = work(); err != nil {
				return nil, err
			}
		}
		l, err := openLoop(ctx, r.address, s.path, s.clients(b.options), s.rate, b.options.duration)
		more, waitErr := wait()
		if err := errors.Join(err, waitErr); err != nil {
			return nil, fmt.Errorf("%s: %w", state, err)
		}
		if l.errors > 0 {
			return nil, fmt.Errorf("%s: %d of %d requests failed", state, l.errors, l.requests+l.errors)
		}
		for key, value := range map[string]float64{"p50": l.p50, "p99": l.p99, "p999": l.p999, "max": l.max} {
			result[state+"_"+key+"_us"] = value
		}
		for key, value := range more {
			result[key] = value
		}
	}
	after, err := readUsage(r.process.pid)
	if err != nil {
		return nil, err
	}
	result[otherLoad] = after.since(before).otherCores()
	return result, nil
}

func measureBesideHandshakes(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	return besideWork(ctx, b, s, r, func() (func() (sample, error), error) {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("cannot find the harness's own program: %w", err)
		}
		// A second longer than the measurement, of which it takes a part to start.
		generator, err := b.fleet.start("handshakes", nil, self, handshakesArgument, r.tls, s.path, (b.options.duration + time.Second).String())
		if err != nil {
			return nil, err
		}
		return func() (sample, error) {
			defer b.fleet.stop(generator)
			select {
			case <-generator.exited:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return parseHandshakes(generator)
		}, nil
	})
}

// handshakeReport is what the generator writes.
type handshakeReport struct {
	PerSecond float64 `json:"per_second"`
	Errors    int     `json:"errors"`
}

func parseHandshakes(generator *process) (sample, error) {
	content, err := os.ReadFile(generator.log)
	if err != nil {
		return nil, err
	}
	var report handshakeReport
	if err := json.Unmarshal(content, &report); err != nil {
		return nil, fmt.Errorf("the generator of handshakes failed: %s", generator.logTail())
	}
	if report.Errors > 0 {
		return nil, fmt.Errorf("%d handshakes failed", report.Errors)
	}
	return sample{"handshakes": report.PerSecond}, nil
}

// generateHandshakes is the harness as a generator in a process of its own: address, path and duration. It has a lower
// priority than what is measured and what measures, so that on a small machine it takes what they leave.
func generateHandshakes(ctx context.Context, arguments []string, output io.Writer) error {
	if len(arguments) != 3 {
		return errors.New("want an address, a path and a duration")
	}
	duration, err := time.ParseDuration(arguments[2])
	if err != nil {
		return err
	}
	if err := lowerPriority(); err != nil {
		return err
	}
	l, err := handshakeLoop(ctx, arguments[0], arguments[1], handshakeClients, handshakeRate, duration)
	if err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(handshakeReport{float64(l.requests) / l.seconds, l.errors})
}

// lowerPriority is about the group, which has this process alone, because a thread's priority is its own on Linux.
func lowerPriority() error {
	const step, lowest = 10, 19
	// The system call returns 20 less the nice value, to have no negative results.
	inverse, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return fmt.Errorf("cannot read the priority: %w", err)
	}
	if err := unix.Setpriority(unix.PRIO_PGRP, 0, min(20-inverse+step, lowest)); err != nil {
		return fmt.Errorf("cannot lower the priority: %w", err)
	}
	return nil
}

func measureBesideProfile(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	// Whole seconds, and if possible one less than the measurement, which then has the profile's end too.
	seconds := max(1, int(b.options.duration/time.Second)-1)
	return besideWork(ctx, b, s, r, func() (func() (sample, error), error) {
		done := make(chan error, 1)
		go func() {
			done <- fetchProfile(ctx, "http://"+r.admin+"/debug/pprof/profile?seconds="+strconv.Itoa(seconds))
		}()
		return func() (sample, error) { return nil, <-done }, nil
	})
}

func fetchProfile(ctx context.Context, url string) error {
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("cannot take a CPU profile: %w", err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return fmt.Errorf("cannot read a CPU profile: %w", err)
	}
	if response.StatusCode != http.StatusOK || n == 0 {
		return fmt.Errorf("cannot take a CPU profile: %s, %d bytes", response.Status, n)
	}
	return nil
}
