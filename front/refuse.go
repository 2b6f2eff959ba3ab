package front

import (
	"bytes"
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
	reasonHeaderFields  = "header_fields"
	reasonHeaderTimeout = "header_timeout"
	reasonConnections   = "max_connections"
	reasonPerIP         = "connections_per_ip"
)

var (
	headTooLarge       = &refusal{431, reasonHeaderSize, "The request line and header fields are larger than allowed.", ""}
	headTooSlow        = &refusal{408, reasonHeaderTimeout, "The request did not arrive in time.", ""}
	notUnderstood      = &refusal{400, reasonBadRequest, "The request could not be understood.", ""}
	speaksTLS          = &refusal{400, reasonBadRequest, "This port speaks https.", ""}
	tooManyConnections = &refusal{503, "", "Too many connections are open.", "Retry-After: 1\r\n"}
	tooManyFromAddress = &refusal{429, "", "Too many connections are open from this address.", "Retry-After: 1\r\n"}
	failed             = &refusal{500, "", "", ""}
)

func (c *Conn) refuseHead(err *wire.RequestError, head []byte) {
	r := refusal{err.Status, reasonBadRequest, err.Reason, ""}
	switch err.Status {
	case 431:
		r.label = reasonHeaderFields
	case 405:
		r.fields = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
	}
	c.refuse(&r, skim(head))
}

// wishes are what a request says about the form of an answer.
type wishes struct {
	noBody bool   // the method is HEAD
	accept []byte // the Accept fields as one list, as far as anybody looks
	id     []byte // the first X-Request-Id
}

// skim reads them leniently out of a request that may have come in part or break every rule: the worst that can come
// of it is a refusal in another form.
func skim(request []byte) (w wishes) {
	request = bytes.TrimLeft(request, "\r\n")
	w.noBody = bytes.HasPrefix(request, []byte("HEAD "))
	for {
		line, rest, whole := bytes.Cut(request, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		name, value, ok := bytes.Cut(line, []byte{':'})
		switch {
		case !whole || len(line) == 0:
			return w
		case !ok:
		case wire.KindOf(name) == wire.Accept && len(w.accept) < answer.MaxAccept: // RFC 9110 section 5.3
			if w.accept != nil {
				w.accept = append(w.accept, ',')
			}
			w.accept = append(w.accept, value[:min(len(value), answer.MaxAccept)]...)
		case wire.KindOf(name) == wire.XRequestID && w.id == nil:
			w.id = wire.TrimSpace(value)
		}
		request = rest
	}
}

// requestID is the client's, if it may give one and gave a sane one, or else a new one.
func (c *Conn) requestID(w wishes) []byte {
	if c.peer.IsValid() && c.peerTrusted() && answer.SaneID(w.id) {
		return w.id
	}
	return newRequestID()
}

// refuse answers, and ends the connection once the client has had time to read that.
func (c *Conn) refuse(r *refusal, w wishes) {
	if r.label != "" {
		c.listener.socket.front.metrics.rejected(r.label)
	}
	c.ended, c.linger = true, true
	id := c.requestID(w)
	body, mediaType := answer.Body(w.accept, r.status, r.reason, id)
	head := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Request-Id: %s\r\n%sConnection: close\r\n\r\n",
		r.status, http.StatusText(r.status), time.Now().UTC().Format(http.TimeFormat), mediaType, len(body), id, r.fields)
	if w.noBody {
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
		c.refuse(r, wishes{})
	}
}
