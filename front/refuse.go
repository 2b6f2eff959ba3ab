package front

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"lb/http1"
	"lb/internal/answer"
	"lb/message"
)

// refusal is a response of the front's own, after which the connection ends.
type refusal struct {
	status int
	label  string // of lb_rejected_requests_total; "": not counted there
	reason string
	fields []message.Field
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
	soon           = []message.Field{message.NewField("Retry-After", "1")}
	allowedMethods = []message.Field{message.NewField("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")}

	headTooLarge       = &refusal{431, reasonHeaderSize, "The request line and header fields are larger than allowed.", nil}
	headTooSlow        = &refusal{408, reasonHeaderTimeout, "The request did not arrive in time.", nil}
	speaksTLS          = &refusal{400, reasonBadRequest, "This port speaks https.", nil}
	tooManyConnections = &refusal{503, "", "Too many connections are open.", soon}
	tooManyFromAddress = &refusal{429, "", "Too many connections are open from this address.", soon}
	failed             = &refusal{500, "", "", nil}
)

func (c *Conn) refuseHead(err *http1.RequestError, head []byte) {
	r := refusal{err.Status, reasonBadRequest, err.Reason, nil}
	switch err.Status {
	case 431:
		r.label = reasonHeaderFields
	case 405:
		r.fields = allowedMethods
	}
	c.refuse(&r, readPreferences(head))
}

// preferences are what a request says about the form of a response.
type preferences struct {
	head   bool   // the method is HEAD
	accept []byte // the Accept fields as one list, as far as anybody looks
	id     []byte // the first X-Request-Id
}

func preferencesOf(r *message.Request) preferences {
	return preferences{r.IsHead(), message.List(r.Fields, message.Accept), message.Lookup(r.Fields, message.XRequestID)}
}

// readPreferences reads them leniently out of a request that may have come in part or break every rule: the worst that can come
// of it is a refusal in another form.
func readPreferences(request []byte) (p preferences) {
	request = bytes.TrimLeft(request, "\r\n")
	p.head = bytes.HasPrefix(request, []byte("HEAD "))
	for {
		line, rest, whole := bytes.Cut(request, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		name, value, ok := bytes.Cut(line, []byte{':'})
		switch {
		case !whole || len(line) == 0:
			return p
		case !ok:
		case message.KindOf(name) == message.Accept && len(p.accept) < answer.MaxAccept: // RFC 9110 section 5.3
			if p.accept != nil {
				p.accept = append(p.accept, ',')
			}
			p.accept = append(p.accept, value[:min(len(value), answer.MaxAccept)]...)
		case message.KindOf(name) == message.XRequestID && p.id == nil:
			p.id = message.TrimSpace(value)
		}
		request = rest
	}
}

// requestID is the client's, if it may give one and gave a sane one, or else a new one.
func (c *Conn) requestID(p preferences) []byte {
	if c.peer.IsValid() && c.peerTrusted() && answer.SaneID(p.id) {
		return p.id
	}
	return newRequestID()
}

// refuse responds, and ends the connection once the client has had time to read that.
func (c *Conn) refuse(r *refusal, p preferences) {
	if r.label != "" {
		c.listener.socket.front.metrics.rejected(r.label)
	}
	c.ended, c.linger = true, true
	id := c.requestID(p)
	body, mediaType := answer.Body(p.accept, r.status, r.reason, id)
	m := message.Response{Status: r.status}
	m.Add("Date", time.Now().UTC().Format(http.TimeFormat))
	m.Add("Content-Type", mediaType)
	m.SetLength(int64(len(body)))
	m.AddBytes(message.NameXRequestID, id)
	m.Fields = append(m.Fields, r.fields...)
	if p.head {
		body = nil
	}
	c.sending.Lock()
	c.respond(&m, http1.Recipient{Minor: 1, Head: p.head, Close: true})
	before := c.sent - int64(c.early)
	c.sending.Unlock()
	_, err := c.Finish(body, nil, 0)
	f := c.listener.socket.front
	f.log.Debug("request refused", "peer", c.peer, "status", r.status, "reason", r.reason, "error", err)
	if refused := f.refused.Load(); refused != nil && *refused != nil {
		(*refused)(c, Refusal{Status: r.status, Reason: r.reason, RequestID: id, BytesOut: c.Sent() - before})
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
		c.refuse(r, preferences{})
	}
}
