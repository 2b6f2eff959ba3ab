package listener

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// lastWords is how long upgraded connections are given to end before they are cut.
	lastWords = time.Second
	// cutPatience is how long handlers are waited for whose connection was cut.
	cutPatience = 2 * time.Second
)

// Shutdown stops accepting and ends the connections: idle and silent ones within a quarter of a
// second, those with half a head when a second is over, those with a request after its response, which
// announces that, and all that are left when ctx ends: then the error is ctx's. Upgraded ones then have a second
// to end as their protocol wants it. It returns when every connection has ended, but waits no longer than two seconds for
// handlers that do not notice the cut.
func (s *Set) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.draining.Swap(true) {
		s.mu.Unlock()
		return errors.New("cannot shut down twice")
	}
	defer close(s.stopped)
	all := s.leaving
	for _, k := range s.sockets {
		all = append(all, k)
		k.stop()
	}
	s.mu.Unlock()
	defer s.metrics.close()
	ended := make(chan struct{})
	go func() {
		for _, k := range all {
			<-k.drained
		}
		s.retiring.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	if s.announceEnd() && within(lastWords, ended) {
		return nil
	}
	var cut atomic.Int64
	done := s.each(nil, func(c *conn) {
		cut.Add(1)
		c.cut()
	})
	stuck := !within(cutPatience, done) || !within(cutPatience, ended)
	err := fmt.Errorf("cannot end all connections in time: %d were cut: %w", cut.Load(), context.Cause(ctx))
	if stuck {
		err = fmt.Errorf("%w; %d handlers still run", err, s.open.Load())
	}
	return err
}

// announceEnd tells the upgraded connections that they will be cut. It reports whether there are any.
func (s *Set) announceEnd() bool {
	var any atomic.Bool
	done := s.each(nil, func(c *conn) {
		if !c.announced && c.phase == phaseHTTP && c.Conn.AnnounceEnd() {
			c.announced = true
			any.Store(true)
		}
	})
	within(lastWords, done)
	return any.Load()
}

// within waits for what is done, and reports false if it is not in time.
func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
