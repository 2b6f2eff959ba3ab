package http3

import (
	"context"

	"github.com/quic-go/quic-go"

	"lb/netloop"
)

// codeNone is for the end of a stream of which the client knows.
const codeNone = 0

// watch has the stream fail when the client cancels it or disconnects.
func (s *Stream) watch() {
	s.watched = context.AfterFunc(s.quic.Context(), func() { s.conn.worker.Loop.Post((*cancelled)(s)) })
}

// cancelled is a Stream as the task for the end of its connection, or of its sending side by the client.
type cancelled Stream

func (t *cancelled) Run() {
	s := (*Stream)(t)
	if s.aborted || s.done || s.response.closed {
		return
	}
	if s.conn.phase == phaseClosed || s.conn.quic.Context().Err() != nil {
		s.fail(codeNone, ErrClientDisconnected)
		return
	}
	s.conn.spendReset()
	s.fail(codeRequestCancelled, ErrCancelled)
}

// violation is the task for a stream whose client has done wrong, or has reset it.
type violation struct {
	stream *Stream
	code   quic.StreamErrorCode
	err    error
}

func (t violation) Run() {
	s := t.stream
	if s.aborted || s.done {
		return
	}
	s.conn.spendReset()
	s.fail(t.code, t.err)
}

// fail ends a stream whose client cannot be sent anything any more. code is what the client is told.
func (s *Stream) fail(code quic.StreamErrorCode, err error) {
	if s.aborted {
		return
	}
	if code == codeNone {
		s.leave()
	} else {
		s.reset(code)
	}
	switch {
	case s.Exchange == nil:
		s.release()
	case s.tunnel != nil:
		s.tunnel.upgraded.ClientReady(netloop.Failed)
	default:
		s.Exchange.Disconnected(err)
	}
}

// reset ends the stream at once: nothing more is sent, and what still comes is dropped.
func (s *Stream) reset(code quic.StreamErrorCode) {
	if s.aborted {
		return
	}
	s.leave()
	s.quic.CancelRead(code)
	s.quic.CancelWrite(code)
}

// leave ends the stream on this side.
func (s *Stream) leave() {
	s.aborted = true
	if s.watched != nil {
		s.watched()
	}
	s.body.stop()
}

// End ends the exchange. A response that is not complete is cut.
func (s *Stream) End() {
	if s.done {
		return
	}
	switch {
	case s.aborted:
	case s.tunnel != nil && !s.response.closed: // RFC 9220 section 3
		s.reset(codeRequestCancelled)
	case !s.response.closed:
		s.reset(codeInternal)
	default:
		if !s.body.complete() { // RFC 9114 section 4.1: the rest of the request is of no use
			s.quic.CancelRead(codeNo)
		}
		s.leave()
		s.conn.credit.complete()
	}
	s.release()
}

// Abort ends the stream so that the client cannot take the response for whole. The exchange still has to call End.
func (s *Stream) Abort() { s.reset(codeInternal) }

// Close does nothing: a stream ends with its response, and the connection goes on.
func (s *Stream) Close() {}

// release takes the stream off its connection. Its goroutines may still run, and notice the end.
func (s *Stream) release() {
	if s.done {
		return
	}
	s.done = true
	s.Exchange = nil
	if !s.aborted {
		s.leave()
	}
	s.quic.ReleaseStreamCredit()
	s.conn.remove(s)
}
