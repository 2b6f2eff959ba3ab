package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// h2load is the closed-loop load generator for HTTP/2. It is told numbers of requests: with a duration, a client that connects only when
// that is over goes on for ever.
type h2load struct {
	program string
	rates   map[string]float64 // requests per second of the last run, by URL
}

func newH2load() *h2load {
	program, err := findProgram("h2load")
	if err != nil {
		return &h2load{} // run says so.
	}
	return &h2load{program, make(map[string]float64)}
}

// run makes as many requests, so many at a time on each connection, as the last run to the same URL made in the duration; the first run
// makes 100 of each. h2load ends with ctx.
func (h *h2load) run(ctx context.Context, r request, connections, streams int, duration time.Duration) (load, error) {
	if h.program == "" {
		return load{}, errors.New("h2load is not installed (Debian's nghttp2-client)")
	}
	number := max(int(h.rates[r.url]*duration.Seconds()), 100*connections*streams)
	arguments := []string{
		"-t", strconv.Itoa(min(2, connections)), "-c", strconv.Itoa(connections), "-m", strconv.Itoa(streams), "-n", strconv.Itoa(number),
	}
	if r.message != "" {
		arguments = append(arguments, "-d", r.message, "-H", "content-type: application/grpc", "-H", "te: trailers")
	}
	command := exec.CommandContext(ctx, h.program, append(arguments, r.url)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	output, err := command.CombinedOutput()
	if ctx.Err() != nil {
		return load{}, ctx.Err()
	}
	if err != nil {
		return load{}, fmt.Errorf("h2load failed: %w: %s", err, oneLine(output))
	}
	l, err := parseH2load(output)
	l.seconds = time.Since(start).Seconds()
	h.rates[r.url] = float64(l.requests) / l.seconds
	return l, err
}

var (
	h2loadRequests = regexp.MustCompile(`(?m)^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$`)
	h2loadHTTP1    = regexp.MustCompile(`(?m)^Application protocol: http/1`) // by ALPN; without TLS there is no such line
)

// parseH2load reads h2load's own text, which has no percentiles.
func parseH2load(output []byte) (load, error) {
	if h2loadHTTP1.Match(output) {
		return load{}, fmt.Errorf("h2load did not get HTTP/2: %s", oneLine(output))
	}
	match := h2loadRequests.FindSubmatch(output)
	if match == nil {
		return load{}, fmt.Errorf("cannot find the requests in h2load's output: %s", oneLine(output))
	}
	var counts [5]int
	for i, digits := range match[1:] {
		n, err := strconv.Atoi(string(bytes.TrimSpace(digits)))
		if err != nil {
			return load{}, fmt.Errorf("cannot parse h2load's output: %w", err)
		}
		counts[i] = n
	}
	done, succeeded, failed := counts[0], counts[1], counts[2]
	if succeeded == 0 {
		return load{}, errors.New("h2load got no response at all")
	}
	return load{requests: succeeded, errors: max(failed, done-succeeded)}, nil
}
