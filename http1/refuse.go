package http1

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"

	"lb/internal/errorpage"
	"lb/message"
)

// Refusal is a response sent by the connection itself, which closes afterwards.
type Refusal struct {
	Status int
	Label  string // the reason in lb_rejected_requests_total; "": not counted there
	Reason string

	fields string // additional header lines

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
	// TooManyConnections and TooManyFromAddress are for Conn.Refuse, by the owner of a connection.
	TooManyConnections = &Refusal{Status: 503, Reason: "Too many connections are open.", fields: "Retry-After: 1\r\n"}
	TooManyFromAddress = &Refusal{Status: 429, Reason: "Too many connections are open from this address.", fields: "Retry-After: 1\r\n"}
)

// SpeaksTLS is for Conn.Refuse: a client speaks plain HTTP on a port for HTTPS, at that address; the zero value: it has none.
func SpeaksTLS(local netip.AddrPort) *Refusal {
	reason := "This port speaks HTTPS: write https:// at the beginning of the address"
	if local.IsValid() {
		reason += ", as in https://" + local.String() + "/"
	}
	return &Refusal{Status: 400, Label: LabelBadRequest, Reason: reason + "."}
}

// Refuse sends a response regardless of what the client sends, and closes the connection when the client has had time to read it.
func (c *Conn) Refuse(r *Refusal) {
	c.refuse(r, nil)
	c.Run()
}

func (c *Conn) refuseHead(err *RequestError, head []byte) {
	r := Refusal{Status: err.Status, Label: LabelBadRequest, Reason: err.Reason}
	if beginsTLS(head) {
		r.Reason = "This port speaks plain http, and the client has begun a TLS handshake."
	}
	switch err.Status {
	case http.StatusRequestHeaderFieldsTooLarge:
		r.Label = LabelHeaderFields
	case http.StatusMethodNotAllowed:
		r.fields = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
	}
	c.refuse(&r, head)
}

// beginsTLS reports whether a head is a record of a TLS handshake (RFC 8446 section 5.1). No request begins with its first byte.
func beginsTLS(head []byte) bool { return len(head) > 1 && head[0] == 22 && head[1] == 3 }

// refuse responds to a request of which head has been received.
func (c *Conn) refuse(refusal *Refusal, head []byte) {
	r := *refusal
	hints := readHints(head)
	r.RequestID = hints.id
	if trusts := c.settings.TrustsPeer; !errorpage.SaneID(hints.id) || trusts == nil || !c.Info.Peer.IsValid() || !trusts(c.Info.Peer) {
		r.RequestID = newRequestID()
	}
	body, mediaType := errorpage.Body(hints.accept, r.Status, r.Reason, r.RequestID)
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Request-Id: %s\r\n%sConnection: close\r\n\r\n",
		r.Status, http.StatusText(r.Status), c.worker.Loop.Now().UTC().Format(http.TimeFormat), mediaType, len(body), r.RequestID, r.fields)
	if !hints.isHead {
		b = append(b, body...)
	}
	// If it does not fit into the socket's send buffer at once, the rest is lost.
	n, _ := c.socket.Write(b[c.early:], nil)
	c.early = 0
	r.BytesOut = int64(max(n, 0))
	c.ended, c.linger, c.phase = true, true, phaseIdle
	c.held = nil
	c.settings.Handler.Refused(c, &r)
}

// hints are the parts of a request that determine the form of a response.
type hints struct {
	isHead bool   // the method is HEAD
	accept []byte // the Accept fields as one list, up to MaxAccept bytes each
	id     []byte // the first X-Request-Id
}

// readHints reads the hints leniently from a request that may be incomplete or malformed. Mistakes affect only the form of the
// response.
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
		case message.KindOf(name) == message.Accept && len(h.accept) < errorpage.MaxAccept: // RFC 9110 section 5.3
			if h.accept != nil {
				h.accept = append(h.accept, ',')
			}
			h.accept = append(h.accept, value[:min(len(value), errorpage.MaxAccept)]...)
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
