package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const mib = 1 << 20

// measureIdle opens connections, has one answer on each, and weighs the balancer before and after.
func measureIdle(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	// The first answers map code and grow pools that no later connection pays for.
	warm, err := openKept(r.address, s.path, b.options.connections)
	closeAll(warm)
	if err != nil {
		return nil, err
	}
	before, err := settledRSS(ctx, r.process.pid)
	if err != nil {
		return nil, err
	}
	kept, err := openKept(r.address, s.path, b.options.idle)
	defer closeAll(kept)
	if err != nil {
		return nil, err
	}
	after, err := settledRSS(ctx, r.process.pid)
	if err != nil {
		return nil, err
	}
	// One that the balancer closed to save memory would not have been kept.
	for i, c := range kept {
		if err := c.exchange(); err != nil {
			return nil, fmt.Errorf("idle connection %d of %d was not kept: %w", i+1, len(kept), err)
		}
	}
	return sample{
		"bytes_per_connection": float64(after-before) / float64(len(kept)),
		"rss_mib":              float64(after) / mib,
	}, nil
}

// openKept opens n connections, a few at a time so that no listen queue overflows, and makes one request on
// each. The connections opened so far are returned with an error too.
func openKept(address, path string, n int) ([]*client, error) {
	const atOnce = 32
	var (
		mu       sync.Mutex
		kept     []*client
		firstErr error
		group    sync.WaitGroup
	)
	for worker := range atOnce {
		group.Go(func() {
			for i := worker; i < n; i += atOnce {
				c, err := dialClient(address, path)
				if err == nil {
					err = c.exchange()
				}
				mu.Lock()
				if c != nil {
					kept = append(kept, c)
				}
				if err != nil && firstErr == nil {
					firstErr = fmt.Errorf("cannot open connection %d of %d: %w", i+1, n, err)
				}
				failed := firstErr != nil
				mu.Unlock()
				if failed {
					return
				}
			}
		})
	}
	group.Wait()
	return kept, firstErr
}

func closeAll(clients []*client) {
	for _, c := range clients {
		c.conn.Close()
	}
}

// settledRSS waits until the memory has stopped changing for ten seconds, at most forty, and returns it:
// a balancer may give back what an idle connection does not need only after a moment.
func settledRSS(ctx context.Context, pid int) (int64, error) {
	const (
		interval  = 500 * time.Millisecond
		still     = 20
		readings  = 80
		tolerance = 64 << 10
	)
	var reference int64
	same := 0
	for range readings {
		rss, err := treeRSS(pid)
		if err != nil {
			return 0, err
		}
		if rss-reference > tolerance || reference-rss > tolerance {
			reference, same = rss, 0
		} else if same++; same == still {
			return rss, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(interval):
		}
	}
	return treeRSS(pid)
}
