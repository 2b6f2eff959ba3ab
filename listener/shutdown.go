package listener

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// closeTime is how long upgraded connections have to close before they are cut.
	closeTime = time.Second
	// handlerWait is how long to wait for the handlers of connections that were cut.
	handlerWait = 2 * time.Second
)

// Shutdown stops accepting and closes the connections: idle ones, and those that have sent nothing, within a quarter of a second; those
// with an incomplete head after at most a second; those with a request after its response, which announces that. When ctx ends, the
// remaining ones are cut, and the error wraps ctx's; upgraded ones are notified a second earlier. Shutdown returns when all
// connections have closed, but waits at most two seconds for handlers that do not return.
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
	if s.announceEnd() && within(closeTime, ended) {
		return nil
	}
	var cut atomic.Int64
	done := s.each(nil, func(c *conn) {
		cut.Add(1)
		c.cut()
	})
	close(s.cut)
	doneQUIC := s.eachQUIC(nil, func(c *quicConn) {
		cut.Add(1)
		c.Cut()
	})
	stuck := !within(handlerWait, done) || !within(handlerWait, doneQUIC) || !within(handlerWait, ended)
	err := fmt.Errorf("cannot end all connections in time: %d were cut: %w", cut.Load(), context.Cause(ctx))
	if stuck {
		err = fmt.Errorf("%w; %d handlers still run", err, s.open.Load())
	}
	return err
}

// announceEnd notifies the upgraded connections that they will be cut. It reports whether there are any.
func (s *Set) announceEnd() bool {
	var any atomic.Bool
	done := s.each(nil, func(c *conn) {
		if !c.announced && c.announceEnd() {
			c.announced = true
			any.Store(true)
		}
	})
	doneQUIC := s.eachQUIC(nil, func(c *quicConn) {
		if !c.announced && c.AnnounceEnd() {
			c.announced = true
			any.Store(true)
		}
	})
	within(closeTime, done)
	within(closeTime, doneQUIC)
	return any.Load()
}

// within waits until done is closed, and reports false if that takes longer than d.
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
