package http2

import (
	"net/http"

	"lb/internal/fieldsection"
)

// Refusal is the end of a request before there was an exchange for it.
type Refusal = fieldsection.Refusal

// The labels of lb_rejected_requests_total.
const (
	LabelBadRequest    = fieldsection.LabelBadRequest
	LabelHeaderSize    = fieldsection.LabelHeaderSize
	LabelHeaderFields  = fieldsection.LabelHeaderFields
	LabelHeaderTimeout = fieldsection.LabelHeaderTimeout
	LabelFlood         = fieldsection.LabelFlood
)

var handlerFailed = &Refusal{Status: http.StatusInternalServerError}

// refuse responds to a request that gets no exchange, and ends its stream.
func (s *Stream) refuse(refusal *Refusal) {
	c := s.conn
	r, responds := refusal.Begin()
	if !responds {
		s.reset(codeProtocol)
		s.release()
		c.settings.Handler.Refused(c, r)
		return
	}
	m, body := r.Response(s.request.Fields, c.worker.Loop.Now())
	flushed := s.Respond(m, body, false, true)
	r.BytesOut = s.sent
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
