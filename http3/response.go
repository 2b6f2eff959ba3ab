package http3

import (
	"net/http"
	"os"

	"lb/internal/fieldsection"
	"lb/message"
)

// response is what has been sent of a stream's.
type response struct {
	begun    bool  // the final one
	finished bool  // its last byte is on its way, or waits
	closed   bool  // all of it is on its way, with the end of the stream
	toHead   bool  // the request's method is HEAD
	length   int64 // of the body that has not been sent; negative: only its end tells
	sent     int64
}

// Begun reports whether the final response has begun.
func (s *Stream) Begun() bool { return s.response.begun }

// Sent returns how many bytes of responses are on their way, or wait.
func (s *Stream) Sent() int64 { return s.response.sent }

// Respond sends the head of the final response and a first piece of its body, with last all of it. The piece is copied where
// it is not sent at once, unless it is stable: then it must not change before Exchange.Flushed or End. The result is whether
// everything is on its way; if not, nothing may be sent before Exchange.Flushed.
func (s *Stream) Respond(r *message.Response, piece []byte, stable, last bool) (flushed bool) {
	if s.aborted {
		return false
	}
	p := &s.response
	p.begun, p.length = true, r.Length
	if r.Status == http.StatusSwitchingProtocols {
		p.length = -1
	} else if p.toHead || r.Status == http.StatusNoContent || r.Status == http.StatusNotModified || r.Length == 0 {
		p.finished, piece = true, nil
	}
	for i := range r.Fields {
		if f := &r.Fields[i]; message.EqualFold(f.Name, "priority") { // RFC 9218 section 8: the origin may know better
			urgency, incremental := fieldsection.ReadPriority(f.Value, defaultUrgency, false)
			s.quic.SetPriority(int8(urgency), incremental)
		}
	}
	return s.write(s.headers(r), piece, stable, last, nil)
}

// Send sends the next piece of the body, as Respond does with the first. The piece is copied where it is not sent at once.
// The trailer fields are sent behind the last piece.
func (s *Stream) Send(piece []byte, last bool, trailers []message.Field) (flushed bool) {
	switch {
	case s.aborted:
		return false
	case s.response.finished, len(piece) == 0 && !last:
		return !s.out.busy
	}
	return s.write(s.conn.worker.out[:0], piece, false, last, trailers)
}

// SendFile sends n bytes of f from an offset on as more of a body with a length. Neither may change before Exchange.Flushed.
func (s *Stream) SendFile(f *os.File, offset, n int64) (flushed bool) {
	switch {
	case s.aborted:
		return false
	case s.response.finished || n == 0:
		return !s.out.busy
	}
	s.count(n)
	lead := appendFrame(s.conn.worker.out[:0], frameData, uint64(n))
	s.response.sent += int64(len(lead)) + n
	s.start(job{lead: append([]byte(nil), lead...), file: f, offset: offset, left: n})
	return false
}

// count takes note of n bytes of a body that are to be sent. One whose length is known ends with it.
func (s *Stream) count(n int64) {
	p := &s.response
	if p.length < 0 {
		return
	}
	if p.length = max(p.length-n, 0); p.length == 0 {
		p.finished = true
	}
}

// SendInterim sends a response with status 1xx, if the client has not got the final one. The result is whether it is on its way; if not,
// Exchange.Flushed follows.
func (s *Stream) SendInterim(r *message.Response) (flushed bool) {
	if s.aborted || s.response.begun || r.Status == http.StatusSwitchingProtocols {
		return true
	}
	return s.write(s.headers(r), nil, false, false, nil)
}

// SendContinue asks the client for the body that it announced.
func (s *Stream) SendContinue() {
	s.body.owes100 = false
	if !s.aborted && !s.response.begun {
		s.write(s.headers(&message.Response{Status: http.StatusContinue}), nil, false, false, nil)
	}
}

// headers returns a HEADERS frame in the worker's room.
func (s *Stream) headers(r *message.Response) []byte {
	w := s.conn.worker
	w.block = appendResponse(w.block[:0], r, r.Status == http.StatusSwitchingProtocols)
	return append(appendFrame(w.out[:0], frameHeaders, uint64(len(w.block))), w.block...)
}

// direct is how many bytes of a stream are handed over without waiting until they are sent. quic-go keeps them in memory.
const direct = 16 << 10

// write sends frames, which are in the worker's room, and behind them a piece of the body and, after the last one, the trailers.
func (s *Stream) write(frames, piece []byte, stable, last bool, trailers []message.Field) (flushed bool) {
	w, o := s.conn.worker, &s.out
	if len(piece) > 0 {
		s.count(int64(len(piece)))
		frames = appendFrame(frames, frameData, uint64(len(piece)))
	}
	s.response.finished = s.response.finished || last
	var trail []byte
	if last && len(trailers) > 0 {
		w.block = appendTrailers(w.block[:0], trailers)
		trail = append(appendFrame(nil, frameHeaders, uint64(len(w.block))), w.block...)
	}
	size := len(frames) + len(piece) + len(trail)
	s.response.sent += int64(size)
	if !o.busy && o.queued+size <= direct {
		all := append(append(frames, piece...), trail...)
		w.keep(all)
		if len(all) == 0 || s.quic.TryWriteAll(all) == nil {
			o.queued += size
			s.close()
			return true
		}
		frames, piece, trail = all, nil, nil
	}
	j := job{lead: append([]byte(nil), frames...), piece: piece, trail: trail}
	if len(piece) > 0 && !stable {
		j.piece = o.copy(piece)
	}
	w.keep(frames)
	s.start(j)
	return false
}

// close ends the stream when the whole response is on its way.
func (s *Stream) close() {
	if !s.response.finished || s.response.closed {
		return
	}
	s.response.closed = true
	if s.watched != nil {
		s.watched() // else it would take this for the client's doing
	}
	_ = s.quic.Close()
}

// keptRoom is the most room for frames that a loop keeps.
const keptRoom = 64 << 10

// keep keeps the room of frames for the next ones.
func (w *Worker) keep(frames []byte) {
	if cap(frames) <= keptRoom {
		w.out = frames[:0]
	}
	if cap(w.block) > keptRoom {
		w.block = nil
	}
}
