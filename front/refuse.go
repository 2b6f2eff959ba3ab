package front

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"lb/internal/answer"
	"lb/internal/wire"
)

// refusal is an answer of the front's own, after which the connection ends.
type refusal struct {
	status int
	label  string // of lb_rejected_requests_total; "": not counted there
	reason string
	fields string // further header lines
}

// The labels of lb_rejected_requests_total that the front counts.
const (
	reasonBadRequest    = "bad_request"
	reasonHeaderSize    = "header_size"
	reasonHeaderTimeout = "header_timeout"
	reasonBodySize      = "body_size"
	reasonConnections   = "max_connections"
	reasonPerIP         = "connections_per_ip"
)

var (
	headTooLarge       = &refusal{431, reasonHeaderSize, "The request line and header fields are larger than allowed.", ""}
	headTooSlow        = &refusal{408, reasonHeaderTimeout, "The request did not arrive in time.", ""}
	bodyTooLarge       = &refusal{413, reasonBodySize, "The request body is larger than allowed.", ""}
	notUnderstood      = &refusal{400, reasonBadRequest, "The request could not be understood.", ""}
	speaksTLS          = &refusal{400, reasonBadRequest, "This port speaks https.", ""}
	tooManyConnections = &refusal{503, "", "Too many connections are open.", "Retry-After: 1\r\n"}
	tooManyFromAddress = &refusal{429, "", "Too many connections are open from this address.", "Retry-After: 1\r\n"}
	failed             = &refusal{500, "", "", ""}
)

func (c *Conn) refuseHead(err *wire.RequestError) {
	r := refusal{err.Status, reasonBadRequest, err.Reason, ""}
	if err.Status == 405 {
		r.fields = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
	}
	c.refuse(&r)
}

// refuse answers, and ends the connection once the client has had time to read that.
func (c *Conn) refuse(r *refusal) {
	if r.label != "" {
		c.listener.socket.front.metrics.rejected(r.label)
	}
	c.ended, c.linger = true, true
	id := newRequestID()
	body, mediaType := answer.Body(c.head.Accept, r.status, r.reason, id)
	head := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Request-Id: %s\r\n%sConnection: close\r\n\r\n",
		r.status, http.StatusText(r.status), time.Now().UTC().Format(http.TimeFormat), mediaType, len(body), id, r.fields)
	if string(c.head.Method) == "HEAD" {
		body = nil
	}
	n, err := c.Send(head, body)
	f := c.listener.socket.front
	f.log.Debug("request refused", "peer", c.peer, "status", r.status, "reason", r.reason, "error", err)
	if told := f.refused.Load(); told != nil && *told != nil {
		(*told)(c, Refusal{Status: r.status, Reason: r.reason, RequestID: id, BytesOut: n})
	}
}

// newRequestID returns 16 random bytes in hexadecimal.
func newRequestID() []byte {
	var b [16]byte
	rand.Read(b[:])
	return hex.AppendEncode(nil, b[:])
}

// turnAway tells a client that there is no room for its connection, if that needs no handshake, and closes.
func (c *Conn) turnAway(r *refusal) {
	if !c.listener.TLS {
		c.refuse(r)
	}
}
