package http1

import (
	"io"
	"time"

	"lb/netloop"
)

// promptRead is how soon a client must make room in a full socket to count as one that reads promptly. Such clients get a larger
// send buffer; see takeMore.
const promptRead = 250 * time.Millisecond

// write sends head and body. The body is copied unless it is stable. write reports whether everything was written to the socket. If
// the connection is broken it returns false, and Disconnected follows.
func (c *Conn) write(head, body []byte, stable bool) (flushed bool) {
	if c.phase == phaseClosed {
		return false // Disconnected or Abort has been called
	}
	s := c.stream
	n, err := s.out.Write(c.socket, head, body, stable)
	if err != nil {
		c.worker.Loop.Later((*breakNow)(c))
		return false
	}
	s.response.sent += int64(n)
	if !s.out.Pending() {
		return true
	}
	s.stalled()
	return false
}

// breakNow is a Conn as a task that ends a broken connection.
type breakNow Conn

func (b *breakNow) Run() { (*Conn)(b).fail(ErrClientDisconnected) }

// stalled starts a wait for the client to read, with a timeout.
func (s *Stream) stalled() {
	s.stalledAt = s.conn.worker.Loop.Now()
	if d := s.conn.settings.Limits.BodyIdleTimeout; d > 0 {
		s.writeTimer.Reset(d)
	}
}

// flush writes pending output to the socket, and calls Flushed when nothing is left.
func (c *Conn) flush() {
	s := c.stream
	if !s.out.Pending() {
		return
	}
	n, err := s.out.Flush(c.socket)
	s.response.sent += int64(n)
	wait := c.worker.Loop.Now().Sub(s.stalledAt)
	if n > 0 && wait < promptRead && !c.reads {
		c.reads = true
		takeMore(c.socket)
	}
	l := &c.settings.Limits
	switch {
	case err == io.ErrUnexpectedEOF: // the file was truncated
		c.fail(err)
	case err != nil:
		c.fail(ErrClientDisconnected)
	case n > 0 && !c.pace.Moved(l.BodyMinRate, l.RateWindow, n, wait):
		c.fail(ErrSlowClient)
	case !s.out.Pending():
		s.writeTimer.Stop()
		s.Exchange.Flushed()
	case n > 0:
		s.stalled()
	}
}

// dropOutput drops pending output.
func (s *Stream) dropOutput() {
	s.writeTimer.Stop()
	s.out.Drop(s.conn.worker.Loop)
}

// writeTimeout is a Stream as the handler of its writeTimer.
type writeTimeout Stream

func (w *writeTimeout) Expired(*netloop.Timer) { w.conn.fail(ErrSlowClient) }
