package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// handshakeLoop makes requests on TLS connections of their own, each with a full handshake: as many as the
// connections can, or at a rate, of which it leaves out what is late rather than catch up. The key exchange
// is fixed, since a balancer that prefers a more expensive one would otherwise be given another task.
func handshakeLoop(ctx context.Context, address, path string, connections, rate int, duration time.Duration) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	config := &tls.Config{
		InsecureSkipVerify: true, // The certificate is made by the run itself.
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
	}
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, address)
	due := ticks(ctx, rate)
	latencies := make([][]time.Duration, connections)
	var failed atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for i := range connections {
		group.Go(func() {
			for range due {
				began := time.Now()
				if err := handshakeOnce(address, config, request); err != nil {
					failed.Add(1)
					continue
				}
				latencies[i] = append(latencies[i], time.Since(began))
			}
		})
	}
	group.Wait()
	return summarizeLatencies(slices.Concat(latencies...), time.Since(start), int(failed.Load()))
}

// handshakeOnce reads to the end, so that it is the balancer that closes first: the port of the client's side is
// free again at once.
func handshakeOnce(address string, config *tls.Config, request []byte) error {
	raw, err := net.DialTimeout("tcp", address, exchangeLimit)
	if err != nil {
		return err
	}
	conn := tls.Client(raw, config)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(exchangeLimit)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	reader := bufio.NewReaderSize(conn, 2048)
	if err := readResponse(reader); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, reader)
	return err
}

// ticks yields until ctx ends: always, or at the rate while a receiver is ready.
func ticks(ctx context.Context, rate int) <-chan struct{} {
	due := make(chan struct{})
	go func() {
		defer close(due)
		if rate == 0 {
			for {
				select {
				case due <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		}
		// A ticker is coarser than the interval at high rates, so each of its ticks yields all that is due by then.
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		start, sent := time.Now(), 0
		end, limited := ctx.Deadline()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				if limited && now.After(end) {
					return
				}
				for total := int(now.Sub(start).Seconds() * float64(rate)); sent < total; sent++ {
					select {
					case due <- struct{}{}:
					default:
					}
				}
			}
		}
	}()
	return due
}
