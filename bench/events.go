package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	eventStreams  = 100
	eventInterval = 100 * time.Millisecond // of one stream
	eventSize     = 21                     // of a line with the time at which it was written
)

// epoch is what the times in events count from. Backend and clients are one process, so they share it.
var epoch = time.Now()

// measureEvents reads streams of small pieces, first from a backend itself and then through the balancer, and
// returns how much later the pieces arrive then.
func measureEvents(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	origin, err := startOrigin()
	if err != nil {
		return nil, err
	}
	defer origin.stop()
	result := sample{}
	for _, kind := range []string{"events", "trickle"} {
		direct, err := readStreams(ctx, "http://"+origin.address+"/"+kind, b.options.duration)
		if err != nil {
			return nil, fmt.Errorf("%s without a balancer: %w", kind, err)
		}
		through, err := readStreams(ctx, "http://"+r.address+"/"+kind, b.options.duration)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		for name, q := range map[string]float64{"p50": 0.50, "p99": 0.99} {
			base := microseconds(percentile(direct, q))
			result[kind+"_"+name+"_us"] = microseconds(percentile(through, q)) - base
			result[kind+"_direct_"+name+"_us"] = base
		}
	}
	return result, nil
}

// readStreams reads all streams to their ends and returns the sorted times from the backend's write of a piece
// to the client's read.
func readStreams(ctx context.Context, url string, duration time.Duration) ([]time.Duration, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: eventStreams}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	events := max(2, int(duration/eventInterval))
	delays, failures := make([][]time.Duration, eventStreams), make([]error, eventStreams)
	var group sync.WaitGroup
	for i := range eventStreams {
		group.Go(func() {
			// The streams' events are spread evenly over the interval.
			offset := eventInterval * time.Duration(i) / eventStreams
			target := fmt.Sprintf("%s?events=%d&offset=%v", url, events, offset)
			delays[i], failures[i] = readStream(ctx, client, target, events)
		})
	}
	group.Wait()
	all := slices.Concat(delays...)
	slices.Sort(all)
	return all, firstError(failures)
}

// firstError says how many others there were.
func firstError(failures []error) error {
	failures = slices.DeleteFunc(failures, func(err error) bool { return err == nil })
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d of them failed, the first: %w", len(failures), failures[0])
}

// readStream ignores the first piece, which may arrive together with the head.
func readStream(ctx context.Context, client *http.Client, url string, events int) ([]time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	delays := make([]time.Duration, 0, events)
	lines := bufio.NewReaderSize(response.Body, eventSize)
	for i := range events {
		line, err := lines.ReadSlice('\n')
		now := time.Since(epoch)
		if err != nil {
			return nil, fmt.Errorf("event %d of %d: %w", i+1, events, err)
		}
		written, err := strconv.ParseInt(strings.TrimSpace(string(line)), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read the time in %q: %w", line, err)
		}
		if i > 0 {
			delays = append(delays, now-time.Duration(written))
		}
	}
	_, err = io.Copy(io.Discard, lines) // the end belongs to the response
	return delays, err
}

// serveEvents sends a line of the present time at each interval: chunked as an event stream, or of a length that
// is known before.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	events, err := strconv.Atoi(r.URL.Query().Get("events"))
	offset, offsetErr := time.ParseDuration(r.URL.Query().Get("offset"))
	if err := errors.Join(err, offsetErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // without it nginx collects
	if r.URL.Path == "/trickle" {
		w.Header().Set("Content-Length", strconv.Itoa(events*eventSize))
	}
	control := http.NewResponseController(w)
	if control.Flush() != nil || !pauseFor(r.Context(), offset) {
		return
	}
	for range events {
		if !pauseFor(r.Context(), eventInterval) {
			return
		}
		fmt.Fprintf(w, "%0*d\n", eventSize-1, int64(time.Since(epoch)))
		if control.Flush() != nil {
			return
		}
	}
}

// pauseFor reports false if ctx ended first.
func pauseFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
