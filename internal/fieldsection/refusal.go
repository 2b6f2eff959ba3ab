package fieldsection

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"lb/internal/errorpage"
	"lb/message"
)

// Refusal is the end of a request before there was an exchange for it.
type Refusal struct {
	Status int    // of the response; 0: the stream was reset, because the request is malformed
	Label  string // of lb_rejected_requests_total
	Reason string // a sentence for a person; it holds nothing of what the client sent
	Allow  bool   // the response has an Allow field

	RequestID []byte
	BytesOut  int64
}

// The labels of lb_rejected_requests_total.
const (
	LabelBadRequest    = "bad_request"
	LabelHeaderSize    = "header_size"
	LabelHeaderFields  = "header_fields"
	LabelHeaderTimeout = "header_timeout"
	LabelFlood         = "flood"
)

// HeadTooLarge is the refusal of a head over the limit of its size.
var HeadTooLarge = refusal(http.StatusRequestHeaderFieldsTooLarge, LabelHeaderSize, "The request header fields are larger than allowed.")

var (
	tooManyFields   = refusal(http.StatusRequestHeaderFieldsTooLarge, LabelHeaderFields, "The request has more header fields than allowed.")
	methodNotServed = &Refusal{
		Status: http.StatusMethodNotAllowed, Label: LabelBadRequest, Reason: "CONNECT and TRACE are not served.", Allow: true,
	}
	protocolNotServed = refusal(http.StatusNotImplemented, LabelBadRequest, "The only protocol for CONNECT is websocket.")
	expectationNotMet = refusal(http.StatusExpectationFailed, LabelBadRequest, "The only expectation met is 100-continue.")
)

// Begin returns the refusal of one request, with an id, and whether it has a response; if not, the stream must be reset.
func (r Refusal) Begin() (own *Refusal, responds bool) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	r.RequestID = hex.AppendEncode(nil, id[:])
	responds = r.Status != 0
	if !responds {
		r.Status = http.StatusBadRequest
	}
	return &r, responds
}

// Response returns the response to a request with these fields, and its body.
func (r *Refusal) Response(fields []message.Field, now time.Time) (m *message.Response, body []byte) {
	body, media := errorpage.Body(message.List(fields, message.Accept), r.Status, r.Reason, r.RequestID)
	m = &message.Response{Status: r.Status}
	m.Add("Date", now.UTC().Format(http.TimeFormat))
	m.Add("Content-Type", media)
	m.SetLength(int64(len(body)))
	m.AddBytes(message.NameXRequestID, r.RequestID)
	if r.Allow {
		m.Add("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	return m, body
}

func refusal(status int, label, reason string) *Refusal {
	return &Refusal{Status: status, Label: label, Reason: reason}
}

func malformed(reason string) *Refusal { return refusal(0, LabelBadRequest, reason) }
