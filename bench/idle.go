package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const mib = 1 << 20

// measureIdle opens connections, has responses on each, and weighs the balancer before and soon after.
func measureIdle(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	const later = 6 // times as long
	before, err := idleBase(ctx, b, s, r, b.options.quiet/3)
	if err != nil {
		return nil, err
	}
	kept, err := openKept(r.address, s.path, s.kept)
	defer closeAll(kept)
	if err != nil {
		return nil, err
	}
	// Opening takes longer than asking, and all of them should have been idle for about the same time.
	if err := askAll(kept); err != nil {
		return nil, err
	}
	last, result := time.Now(), sample{}
	for _, weighing := range []struct {
		key  string
		wait time.Duration
	}{{"bytes_1s", b.options.moment}, {"bytes_6s", later * b.options.moment}} {
		if !pauseFor(ctx, time.Until(last.Add(weighing.wait))) {
			return nil, ctx.Err()
		}
		rss, err := treeRSS(r.process.pid)
		if err != nil {
			return nil, err
		}
		result[weighing.key] = float64(rss-before) / float64(len(kept))
		result["rss_mib"] = float64(rss) / mib
	}
	return result, askAll(kept)
}

// measureSettledIdle weighs the balancer when its memory has stopped changing.
func measureSettledIdle(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
	before, err := idleBase(ctx, b, s, r, b.options.quiet)
	if err != nil {
		return nil, err
	}
	kept, err := openKept(r.address, s.path, s.kept)
	defer closeAll(kept)
	if err != nil {
		return nil, err
	}
	after, err := settledRSS(ctx, r.process.pid, b.options.quiet)
	if err != nil {
		return nil, err
	}
	return sample{
		"bytes_per_connection": float64(after-before) / float64(len(kept)),
		"rss_mib":              float64(after) / mib,
	}, askAll(kept)
}

// idleBase is the memory before the connections. The first responses map code and grow pools that no later
// connection pays for.
func idleBase(ctx context.Context, b *bench, s scenario, r *running, quiet time.Duration) (int64, error) {
	warm, err := openKept(r.address, s.path, s.clients(b.options))
	closeAll(warm)
	if err != nil {
		return 0, err
	}
	return settledRSS(ctx, r.process.pid, quiet)
}

// askAll makes a request on each connection, a few at a time. One that the balancer closed to save memory was not kept.
func askAll(kept []*client) error {
	const atOnce = 32
	failures := make([]error, atOnce)
	var group sync.WaitGroup
	for worker := range atOnce {
		group.Go(func() {
			for i := worker; i < len(kept); i += atOnce {
				if err := kept[i].exchange(); err != nil {
					failures[worker] = fmt.Errorf("idle connection %d of %d was not kept: %w", i+1, len(kept), err)
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(failures...)
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

// settledRSS waits until the memory has stopped changing for as long as quiet says, at most four times that, and
// returns it: a balancer may give back what an idle connection does not need only after a moment.
func settledRSS(ctx context.Context, pid int, quiet time.Duration) (int64, error) {
	const (
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
		if !pauseFor(ctx, quiet/still) {
			return 0, ctx.Err()
		}
	}
	return treeRSS(pid)
}
