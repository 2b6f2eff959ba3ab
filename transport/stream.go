package transport

import (
	"os"
	"slices"

	"lb/http1"
	"lb/http2"
	"lb/message"
	"lb/netloop"
)

// Stream is an Exchange on an HTTP/2 connection. It is reused: nothing may keep it after Done.
type Stream struct {
	http2.BackendStream
	worker *Worker
	client *Client // nil: not in use
	user   User
	link   *shared           // nil: it waits for one
	head   *message.Response // that ReadHead returned last
	reused bool              // the connection was idle after earlier requests
	uses   int               // tells its exchanges apart
	timer  netloop.Timer     // while it waits for a connection
}

// attach has the stream use a connection that has room.
func (s *Stream) attach(h *shared) {
	if h.uses > 0 {
		countReused(s.client.opt.Reused, s.worker.Loop)
		s.reused = h.Streams() == 0
	}
	h.busy()
	h.uses++
	s.link = h
}

// Expired implements netloop.TimerHandler: it has waited for too long.
func (s *Stream) Expired(*netloop.Timer) {
	if s.link == nil && s.client != nil {
		s.stopWaiting()
		s.user.Dialed(&Error{Phase: Dial, Cause: TimedOut, Err: errNoStream})
	}
}

func (s *Stream) stopWaiting() {
	own := &s.client.loops[s.worker.Loop.Index()]
	if i := slices.Index(own.waiting, s); i >= 0 {
		own.waiting = slices.Delete(own.waiting, i, i+1)
	}
}

// Begin implements Exchange.
func (s *Stream) Begin(r *message.Request, piece []byte, last bool, trailers []message.Field) (flushed bool) {
	return s.link.Begin(&s.BackendStream, s.user, r, s.client.opt.TLS != nil, piece, last, trailers)
}

// ReadHead implements Exchange.
func (s *Stream) ReadHead(bool) (err error) {
	s.head, err = s.BackendStream.ReadHead()
	return s.failed(Head, err)
}

// Head implements Exchange.
func (s *Stream) Head() *message.Response { return s.head }

// ReadBody implements Exchange.
func (s *Stream) ReadBody() ([]byte, error) {
	piece, err := s.BackendStream.ReadBody()
	return piece, s.failed(Body, err)
}

// Trailer implements Exchange.
func (s *Stream) Trailer() []message.Field { return s.Trailers() }

// Keep implements Exchange. What is received is kept anyway.
func (s *Stream) Keep() {}

// Yield implements Exchange.
func (s *Stream) Yield() { s.worker.Loop.Later(&streamYield{s, s.uses}) }

type streamYield struct {
	stream *Stream
	uses   int
}

// Run implements netloop.Task.
func (y *streamYield) Run() {
	if s := y.stream; s.client != nil && s.uses == y.uses {
		s.user.ResponseReady()
	}
}

// Timeouts implements Exchange.
func (s *Stream) Timeouts() *Timeouts { return &s.client.opt.Timeouts }

// TimedOut implements Exchange.
func (s *Stream) TimedOut(phase Phase) *Error {
	if h := s.link; h != nil && (phase == Write || h.Stuck()) { // perhaps the backend does not open the window of the connection
		h.Retire()
	}
	return &Error{Phase: phase, Cause: TimedOut, Sent: true, Responded: s.Responded(), Err: os.ErrDeadlineExceeded}
}

// failed returns the error of a read.
func (s *Stream) failed(phase Phase, err error) error {
	f, ok := err.(*http2.Failure)
	if !ok {
		return err
	}
	cause := f.Err
	switch cause {
	case http2.ErrResponseHead:
		cause = ErrHeadTooLarge
	case http2.ErrResponseFields:
		cause = http1.ErrManyFields
	}
	return &Error{
		Phase: phase, Cause: causeOfFailure(f), Sent: f.Sent, Responded: s.Responded(), Reused: s.reused, Unprocessed: f.Unprocessed, Err: cause,
	}
}

// Tunnel implements Exchange.
func (s *Stream) Tunnel() (netloop.Stream, []byte) { return s.BackendStream.Tunnel(), nil }

// Abort implements Exchange.
func (s *Stream) Abort() { s.BackendStream.Abort() }

// Done implements Exchange.
func (s *Stream) Done(bool) {
	if s.client == nil {
		return
	}
	if s.link == nil {
		s.timer.Stop()
		s.stopWaiting()
	}
	s.BackendStream.Done()
	*s = Stream{BackendStream: s.BackendStream, worker: s.worker, uses: s.uses + 1, timer: s.timer}
	s.worker.giveStream(s)
}

// keptStreams is how many unused streams a loop keeps.
const keptStreams = 256

func (w *Worker) takeStream() *Stream {
	n := len(w.streams)
	if n == 0 {
		s := &Stream{worker: w}
		s.timer.Init(w.Loop, s)
		return s
	}
	s := w.streams[n-1]
	w.streams[n-1] = nil
	w.streams = w.streams[:n-1]
	return s
}

func (w *Worker) giveStream(s *Stream) {
	if len(w.streams) < keptStreams {
		w.streams = append(w.streams, s)
	}
}

// backends returns what the HTTP/2 connections of the loop share.
func (w *Worker) backends() *http2.Worker {
	if w.http2 == nil {
		w.http2 = &http2.Worker{Loop: w.Loop}
	}
	return w.http2
}
