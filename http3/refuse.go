package http3

import "net/http"

var handlerFailed = &Refusal{Status: http.StatusInternalServerError}

// refuse responds to a request that gets no exchange, and ends its stream.
func (s *Stream) refuse(refusal *Refusal) {
	c := s.conn
	r, responds := refusal.Begin()
	if !responds {
		s.reset(codeMessage)
		s.release()
		c.settings.Handler.Refused(c, r)
		return
	}
	m, body := r.Response(s.request.Fields, c.worker.Loop.Now())
	flushed := s.Respond(m, body, false, true)
	r.BytesOut = s.response.sent
	if flushed {
		s.End()
	} else {
		s.Exchange = (*refused)(s)
	}
	c.settings.Handler.Refused(c, r)
}

// refused is a Stream as the exchange of a refusal, which waits until it is sent.
type refused Stream

func (r *refused) BodyReady()         {}
func (r *refused) Flushed()           { (*Stream)(r).End() }
func (r *refused) Disconnected(error) { (*Stream)(r).End() }
