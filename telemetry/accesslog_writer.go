package telemetry

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"
)

const (
	// batchDelay collects lines, so that a busy log makes a few writes a second.
	batchDelay = 50 * time.Millisecond
	// batchBytes is about the size of one write.
	batchBytes = 256 << 10
	// flushTime bounds how long stopping waits for a disk or a pipe that accepts nothing.
	flushTime = 2 * time.Second
	// warningInterval keeps a full disk from filling the operations log, too.
	warningInterval = 10 * time.Second
)

// run is the writer. It alone reads the queue and writes the file.
func (l *AccessLog) run(ctx context.Context) {
	defer close(l.done)
	// A write that hangs in a pipe is given up some time after the end. A plain file has no deadline, and Wait does
	// not wait for it.
	release := context.AfterFunc(ctx, func() { l.file.Load().SetWriteDeadline(time.Now().Add(flushTime)) })
	defer release()

	batch := make([]byte, 0, batchBytes+slotKeep)
	delay := time.NewTimer(batchDelay)
	defer delay.Stop()
	for ctx.Err() == nil {
		var wrote bool
		batch, wrote = l.flush(batch)
		if wrote {
			delay.Reset(batchDelay)
			select {
			case <-delay.C:
			case <-l.wake:
			case <-ctx.Done():
			}
			continue
		}
		l.idle.Store(true)
		if l.queue.empty() { // a producer may not have seen that the writer is idle
			select {
			case <-l.wake:
			case <-ctx.Done():
			}
		}
		l.idle.Store(false)
	}
	l.finish(batch)
}

// finish writes what is queued and closes the queue.
func (l *AccessLog) finish(batch []byte) {
	l.queue.close()
	deadline := time.Now().Add(flushTime)
	for !l.queue.empty() && time.Now().Before(deadline) {
		var wrote bool
		if batch, wrote = l.flush(batch); !wrote {
			time.Sleep(100 * time.Microsecond) // a producer still encodes
		}
	}
	l.takeReopened()
	if l.path != "" {
		l.file.Load().Close()
	}
}

// flush writes what is queued now, and reports whether there was anything.
func (l *AccessLog) flush(batch []byte) ([]byte, bool) {
	var wrote bool
	for {
		batch = batch[:0]
		more := true
		for more && len(batch) < batchBytes {
			batch, more = l.queue.next(batch)
		}
		if len(batch) == 0 {
			return batch, wrote
		}
		// This comes after taking the lines, so that no line from after a Reopen goes to the old file.
		l.takeReopened()
		l.writeBatch(batch)
		l.queued.Add(-int64(len(batch)))
		wrote = true
	}
}

func (l *AccessLog) takeReopened() {
	if f := l.reopened.Swap(nil); f != nil {
		l.file.Swap(f).Close()
		l.torn = false
	}
}

// writeBatch writes whole lines. After a write that failed within a line, it begins a new line.
func (l *AccessLog) writeBatch(batch []byte) {
	file := l.file.Load()
	if l.torn {
		if _, err := file.Write([]byte{'\n'}); err != nil {
			l.lost(batch, err)
			return
		}
		l.torn = false
	}
	n, err := file.Write(batch)
	if err != nil {
		l.torn = n > 0 && batch[n-1] != '\n'
		l.lost(batch[n:], err)
	}
}

func (l *AccessLog) lost(lines []byte, err error) {
	l.dropped.Add(bytes.Count(lines, []byte{'\n'}))
	if now := time.Now(); now.Sub(l.lastWarning) >= warningInterval && !errors.Is(err, os.ErrDeadlineExceeded) {
		l.lastWarning = now
		l.log.Error("cannot write the access log; lines are dropped", "file", l.file.Load().Name(), "error", err)
	}
}
