package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const megabyte = 1_000_000

// measureTransfers sends one large body through the balancer and fetches another.
func measureTransfers(ctx context.Context, b *bench, _ scenario, r *running) (sample, error) {
	size := int64(b.options.transfer) * megabyte
	base, err := settledRSS(ctx, r.process.pid, b.options.quiet)
	if err != nil {
		return nil, err
	}
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	url := "http://" + r.address + "/"
	result := sample{}
	for _, direction := range []struct {
		name string
		move func(context.Context, *http.Client, string, int64) error
	}{{"up", upload}, {"down", download}} {
		cost, err := weigh(ctx, r.process.pid, func() error { return direction.move(ctx, client, url, size) })
		if err != nil {
			return nil, fmt.Errorf("%sload: %w", direction.name, err)
		}
		result[direction.name+"_growth_mib"] = float64(max(0, cost.peak-base)) / mib
		result[direction.name+"_cpu_ms_per_gb"] = float64(cost.cpu.Milliseconds()) / (float64(size) / 1e9)
		result[direction.name+"_mb_s"] = float64(size) / megabyte / cost.wall.Seconds()
	}
	return result, nil
}

// cost is what a transfer took.
type cost struct {
	peak      int64 // of the resident memory, in bytes
	cpu, wall time.Duration
}

// weigh watches the balancer while the transfer runs. It samples the memory, so a peak shorter than the
// interval can go unseen; what a balancer buffers stays for longer than that.
func weigh(ctx context.Context, pid int, transfer func() error) (cost, error) {
	const interval = 20 * time.Millisecond
	cpu, err := treeCPU(pid)
	if err != nil {
		return cost{}, err
	}
	var result cost
	var watchErr error
	ctx, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for watchErr == nil {
			var rss int64
			rss, watchErr = treeRSS(pid)
			result.peak = max(result.peak, rss)
			select {
			case <-ctx.Done():
				return
			case <-time.After(interval):
			}
		}
	})
	start := time.Now()
	err = transfer()
	result.wall = time.Since(start)
	cancel()
	watcher.Wait()
	if err := errors.Join(err, watchErr); err != nil {
		return cost{}, err
	}
	after, err := treeCPU(pid)
	result.cpu = after - cpu
	return result, err
}

func upload(ctx context.Context, client *http.Client, url string, size int64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, url, io.LimitReader(zeros{}, size))
	if err != nil {
		return err
	}
	request.ContentLength = size
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if want := strconv.FormatInt(size, 10); string(bytes.TrimSpace(received)) != want {
		return fmt.Errorf("the backend responded %q, want %s bytes received", received, want)
	}
	return nil
}

func download(ctx context.Context, client *http.Client, url string, size int64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?bytes="+strconv.FormatInt(size, 10), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	received, err := io.Copy(io.Discard, response.Body)
	if err == nil && received != size {
		err = fmt.Errorf("%d bytes came, want %d", received, size)
	}
	return err
}

// origin is a backend that counts what it receives, and sends the requested size, at once or in events.
type origin struct {
	address string
	stop    func() // waits until the server has ended
}

func startOrigin() (*origin, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the origin: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(serveOrigin), ReadHeaderTimeout: exchangeLimit}
	var group sync.WaitGroup
	group.Go(func() { _ = server.Serve(listener) }) // It returns when the server is closed.
	stop := func() {
		server.Close()
		group.Wait()
	}
	return &origin{address: listener.Addr().String(), stop: stop}, nil
}

func serveOrigin(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		received, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, received)
		return
	}
	if r.URL.Path == "/events" || r.URL.Path == "/trickle" {
		serveEvents(w, r)
		return
	}
	size, _ := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64) // Absent or invalid: an empty response.
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, _ = io.CopyN(w, zeros{}, size) // The client counts.
}

// zeros reads as an endless run of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
