package http1

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"

	"lb/internal/answer"
	"lb/message"
)

// Refusal is a response of the connection's own, after which it ends.
type Refusal struct {
	Status int
	Label  string // of lb_rejected_requests_total; "": not counted there
	Reason string

	fields string // further header lines

	RequestID []byte
	BytesOut  int64
}

// The labels of lb_rejected_requests_total that connections count.
const (
	LabelBadRequest    = "bad_request"
	LabelHeaderSize    = "header_size"
	LabelHeaderFields  = "header_fields"
	LabelHeaderTimeout = "header_timeout"
)

var (
	headTooLarge  = &Refusal{Status: 431, Label: LabelHeaderSize, Reason: "The request line and header fields are larger than allowed."}
	headTooSlow   = &Refusal{Status: 408, Label: LabelHeaderTimeout, Reason: "The request did not arrive in time."}
	handlerFailed = &Refusal{Status: 500}
	// SpeaksTLS, TooManyConnections and TooManyFromAddress are for Conn.Refuse, by the owner of a connection.
	SpeaksTLS          = &Refusal{Status: 400, Label: LabelBadRequest, Reason: "This port speaks https."}
	TooManyConnections = &Refusal{Status: 503, Reason: "Too many connections are open.", fields: "Retry-After: 1\r\n"}
	TooManyFromAddress = &Refusal{Status: 429, Reason: "Too many connections are open from this address.", fields: "Retry-After: 1\r\n"}
)

// Refuse responds to whatever comes, and ends the connection once the client has had time to read that.
func (c *Conn) Refuse(r *Refusal) {
	c.refuse(r, nil)
	c.Run()
}

func (c *Conn) refuseHead(err *RequestError, head []byte) {
	r := Refusal{Status: err.Status, Label: LabelBadRequest, Reason: err.Reason}
	switch err.Status {
	case http.StatusRequestHeaderFieldsTooLarge:
		r.Label = LabelHeaderFields
	case http.StatusMethodNotAllowed:
		r.fields = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
	}
	c.refuse(&r, head)
}

// refuse responds to the request that begins with head, as far as it came.
func (c *Conn) refuse(refusal *Refusal, head []byte) {
	r := *refusal
	hints := readHints(head)
	r.RequestID = hints.id
	if trusts := c.settings.TrustsPeer; !answer.SaneID(hints.id) || trusts == nil || !c.Info.Peer.IsValid() || !trusts(c.Info.Peer) {
		r.RequestID = newRequestID()
	}
	body, mediaType := answer.Body(hints.accept, r.Status, r.Reason, r.RequestID)
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Request-Id: %s\r\n%sConnection: close\r\n\r\n",
		r.Status, http.StatusText(r.Status), c.worker.Loop.Now().UTC().Format(http.TimeFormat), mediaType, len(body), r.RequestID, r.fields)
	if !hints.isHead {
		b = append(b, body...)
	}
	// What of it the socket does not take at once, of a connection on which nothing else was sent, is lost.
	n, _ := c.socket.Write(b[c.early:], nil)
	c.early = 0
	r.BytesOut = int64(max(n, 0))
	c.ended, c.linger, c.phase = true, true, phaseIdle
	c.held = nil
	c.settings.Handler.Refused(c, &r)
}

// hints are what a request says about the form of a response.
type hints struct {
	isHead bool   // the method is HEAD
	accept []byte // the Accept fields as one list, as far as anybody looks
	id     []byte // the first X-Request-Id
}

// readHints reads them leniently out of a request that may have come in part or break every rule: the worst that can come of it
// is a refusal in another form.
func readHints(request []byte) (h hints) {
	request = bytes.TrimLeft(request, "\r\n")
	h.isHead = bytes.HasPrefix(request, []byte("HEAD "))
	for {
		line, rest, whole := bytes.Cut(request, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		name, value, ok := bytes.Cut(line, []byte{':'})
		switch {
		case !whole || len(line) == 0:
			return h
		case !ok:
		case message.KindOf(name) == message.Accept && len(h.accept) < answer.MaxAccept: // RFC 9110 section 5.3
			if h.accept != nil {
				h.accept = append(h.accept, ',')
			}
			h.accept = append(h.accept, value[:min(len(value), answer.MaxAccept)]...)
		case message.KindOf(name) == message.XRequestID && h.id == nil:
			h.id = message.TrimSpace(value)
		}
		request = rest
	}
}

// newRequestID returns 16 random bytes in hexadecimal.
func newRequestID() []byte {
	var b [16]byte
	rand.Read(b[:])
	return hex.AppendEncode(nil, b[:])
}
