package http1

import (
	"io"
	"time"

	"lb/netloop"
)

// promptly is how soon a client has to make room for more to be one that reads. The system takes more for those than for others;
// see takeMore.
const promptly = 250 * time.Millisecond

// write sends head and body, of which body is not copied if it is stable. It reports whether the socket has taken all. Where
// the connection turns out to be broken it reports that it has not, and Gone follows.
func (c *Conn) write(head, body []byte, stable bool) (flushed bool) {
	if c.phase == phaseClosed {
		return false // Gone was called, or Abort
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

// breakNow is a Conn as the task that ends it.
type breakNow Conn

func (b *breakNow) Run() { (*Conn)(b).fail(ErrClientGone) }

// stalled bounds the wait for the client to take more.
func (s *Stream) stalled() {
	s.stalledAt = s.conn.worker.Loop.Now()
	if d := s.conn.settings.Limits.BodyIdleTimeout; d > 0 {
		s.writeTimer.Reset(d)
	}
}

// flush sends what the socket takes now, and tells the exchange when all is gone.
func (c *Conn) flush() {
	s := c.stream
	if !s.out.Pending() {
		return
	}
	n, err := s.out.Flush(c.socket)
	s.response.sent += int64(n)
	wait := c.worker.Loop.Now().Sub(s.stalledAt)
	if n > 0 && wait < promptly && !c.reads {
		c.reads = true
		takeMore(c.socket)
	}
	switch {
	case err == io.ErrUnexpectedEOF: // the file has become shorter
		c.fail(err)
	case err != nil:
		c.fail(ErrClientGone)
	case n > 0 && !c.pace.moved(&c.settings.Limits, n, wait):
		c.fail(ErrSlowClient)
	case !s.out.Pending():
		s.writeTimer.Stop()
		s.Exchange.Flushed()
	case n > 0:
		s.stalled()
	}
}

// dropOutput forgets what the socket has not taken.
func (s *Stream) dropOutput() {
	s.writeTimer.Stop()
	s.out.Drop(s.conn.worker.Loop)
}

// writeTimeout is a Stream as the handler of its writeTimer.
type writeTimeout Stream

func (w *writeTimeout) Expired(*netloop.Timer) { w.conn.fail(ErrSlowClient) }
