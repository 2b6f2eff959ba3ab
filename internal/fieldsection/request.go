package fieldsection

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"net/http"

	"lb/message"
)

// Request makes the request of a decoded head, whose lines it refers to from then on. version is what logs call the protocol. ended says
// that no body follows. A refusal without a status is for a request that is malformed (RFC 9113 section 8.1.1, RFC 9114 section 4.1.2);
// one with a status gets a response.
func (h *Section) Request(r *message.Request, version string, ended bool) *Refusal {
	r.Reset()
	r.Version, r.Interim = version, true
	if h.TooLarge() {
		return HeadTooLarge
	}
	if h.TooMany() {
		return tooManyFields
	}
	if h.Fault != "" {
		return malformed(h.Fault)
	}
	refusal := h.checkPseudo()
	if refusal != nil && refusal.Status == 0 {
		return refusal
	}
	if wrong := h.checkFields(r, ended); wrong != nil {
		return wrong
	}
	if refusal != nil {
		return refusal
	}
	authority, wrong := h.authority()
	if wrong != nil {
		return wrong
	}
	h.finish(r, authority)
	return nil
}

// checkPseudo checks the pseudo-header fields, but for :authority.
func (h *Section) checkPseudo() *Refusal {
	method, scheme, path := h.Text(PseudoMethod), h.Text(PseudoScheme), h.Text(PseudoPath)
	if method == nil {
		return malformed("The method is missing.")
	}
	if !message.IsToken(method) {
		return malformed("The method is malformed.")
	}
	isConnect := string(method) == http.MethodConnect
	switch {
	case isConnect && !h.seen[PseudoProtocol]:
		if scheme != nil || path != nil {
			return malformed("CONNECT has a scheme or a path.")
		}
		return methodNotServed
	case h.seen[PseudoProtocol] && !isConnect:
		return malformed("There is a :protocol, and the method is not CONNECT.")
	case string(scheme) != "http" && string(scheme) != "https":
		return malformed("The scheme is missing, or neither http nor https.")
	case !isPath(path, method):
		return malformed("The path is missing or malformed.")
	case string(method) == http.MethodTrace:
		return methodNotServed
	case isConnect && string(h.Text(PseudoProtocol)) != "websocket":
		return protocolNotServed
	}
	return nil
}

// isPath allows what begins with a slash, and * with OPTIONS, as in HTTP/1.
func isPath(path, method []byte) bool {
	if len(path) == 1 && path[0] == '*' {
		return string(method) == http.MethodOptions
	}
	for _, c := range path {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return len(path) > 0 && path[0] == '/'
}

// checkFields refuses the fields that are not allowed, and reads those that the stream needs.
func (h *Section) checkFields(r *message.Request, ended bool) *Refusal {
	lengths := 0
	otherExpectation := false
	r.Length = -1
	if ended {
		r.Length = 0
	}
	for i := range h.fields {
		s := &h.fields[i]
		value := h.Room[s.value : s.end-len("\r\n")]
		switch s.kind {
		case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding, message.Upgrade, message.HTTP2Settings:
			return malformed("There is a field that is for connections of HTTP/1 alone.")
		case message.TE:
			if !message.EqualFold(value, "trailers") {
				return malformed("The TE field names something else than trailers.")
			}
		case message.ContentLengthField:
			n, ok := message.ContentLength(value)
			if lengths++; !ok || lengths > 1 {
				return malformed("The Content-Length is malformed or repeated.")
			}
			if ended && n > 0 {
				return malformed("The body is shorter than its Content-Length.")
			}
			r.Length = n
		case message.Expect:
			if message.EqualFold(value, "100-continue") {
				r.Continue = true
			} else {
				otherExpectation = true
			}
		}
	}
	if otherExpectation {
		return expectationNotMet
	}
	r.Announced = lengths > 0 || !ended
	r.Continue = r.Continue && r.Length != 0
	return nil
}

// authority returns the host that the request is for. Where :authority and Host are both there they must be the same: some applications
// take the one and some the other.
func (h *Section) authority() ([]byte, *Refusal) {
	authority := h.Text(PseudoAuthority)
	hosts := 0
	for i := range h.fields {
		s := &h.fields[i]
		if s.kind != message.Host {
			continue
		}
		value := h.Room[s.value : s.end-len("\r\n")]
		if hosts++; hosts > 1 || authority != nil && !bytes.EqualFold(authority, value) {
			return nil, malformed("The Host field is repeated, or differs from :authority.")
		}
		authority = value
	}
	if authority == nil {
		return nil, malformed("There is neither :authority nor a Host field.")
	}
	if !message.IsAuthority(authority) {
		return nil, malformed("The :authority is malformed, or names a host of more than 255 bytes.")
	}
	return authority, nil
}

// finish puts the request together.
func (h *Section) finish(r *message.Request, authority []byte) {
	if !h.hasHost() {
		h.line("host", string(authority))
	}
	if h.crumbs > 0 {
		h.line("cookie", string(h.cookie))
	}
	isWebSocket := h.seen[PseudoProtocol]
	if isWebSocket {
		h.webSocket()
	}
	for i := range h.fields {
		if s := &h.fields[i]; s.kind == message.Host {
			r.Authority = h.Room[s.value : s.end-len("\r\n")]
		}
	}
	r.Fields = h.AppendFields(r.Fields)
	r.Method, r.Target = h.Text(PseudoMethod), h.Text(PseudoPath)
	if isWebSocket {
		r.Method, r.Upgrade = methodGet, h.Text(PseudoProtocol)
		r.Length, r.Announced, r.Continue = 0, false, false
	}
	if !r.Announced && !isWebSocket { // a backend may insist on a length (RFC 9110 section 8.6)
		switch string(r.Method) {
		case http.MethodPost, http.MethodPut, http.MethodPatch:
			r.Announced = true
		}
	}
	for i := range r.Fields {
		if r.Fields[i].Kind == message.Trailer {
			message.CutAnnouncement(&r.Fields[i], nil)
		}
	}
}

var methodGet = []byte(http.MethodGet)

func (h *Section) hasHost() bool {
	for i := range h.fields {
		if h.fields[i].kind == message.Host {
			return true
		}
	}
	return false
}

// webSocket makes the fields those of a WebSocket by HTTP/1.1, which needs a key that is not sent here (RFC 8441 section 5.1).
func (h *Section) webSocket() {
	kept := h.fields[:0]
	for _, s := range h.fields {
		if name := h.Room[s.start:s.name]; s.kind != message.ContentLengthField && s.kind != message.Expect && string(name) != "sec-websocket-key" {
			kept = append(kept, s)
		}
	}
	h.fields = kept
	var key [16]byte
	_, _ = rand.Read(key[:]) // it never fails
	h.line("sec-websocket-key", base64.StdEncoding.EncodeToString(key[:]))
}
