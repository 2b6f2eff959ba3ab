package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// http3Loop keeps connections busy for the duration, with one request at a time on each.
func http3Loop(ctx context.Context, url string, connections int, duration time.Duration) (load, error) {
	latencies := make([][]time.Duration, connections)
	var failed atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for i := range connections {
		group.Go(func() {
			transport := newHTTP3Transport()
			defer transport.Close()
			for time.Since(start) < duration && ctx.Err() == nil {
				began := time.Now()
				if _, err := http3Exchange(ctx, transport, url); err != nil {
					failed.Add(1)
					continue
				}
				latencies[i] = append(latencies[i], time.Since(began))
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return load{}, ctx.Err()
	}
	return summarizeLatencies(slices.Concat(latencies...), time.Since(start), int(failed.Load()))
}

// newHTTP3Transport accepts any certificate: ours is made by the run itself. Each has its connections for itself.
func newHTTP3Transport() *http3.Transport {
	return &http3.Transport{DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
}

// http3Exchange sends a request and reads the response, which must be a 200.
func http3Exchange(ctx context.Context, transport *http3.Transport, url string) (size int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*exchangeLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, errors.New(response.Status)
	}
	return io.Copy(io.Discard, response.Body)
}

// measureHTTP3Download fetches one large file on a connection that has had a request.
func measureHTTP3Download(ctx context.Context, _ *bench, s scenario, r *running) (sample, error) {
	transport := newHTTP3Transport()
	defer transport.Close()
	if _, err := http3Exchange(ctx, transport, "https://"+r.tls+smallFile); err != nil {
		return nil, err
	}
	cost, err := weigh(ctx, r.process.pid, func() error {
		size, err := http3Exchange(ctx, transport, s.url(r))
		if err == nil && size != int64(s.size) {
			err = fmt.Errorf("%d bytes came, want %d", size, s.size)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return sample{
		"seconds": cost.wall.Seconds(),
		"cpu_ms":  microseconds(cost.cpu) / 1000,
		"mb_s":    float64(s.size) / megabyte / cost.wall.Seconds(),
	}, nil
}
