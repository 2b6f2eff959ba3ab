package fieldsection

import (
	"net/http"

	"lb/message"
)

// BeginResponse is Begin for a section of a response.
func (h *Section) BeginResponse(limits Limits, room []byte, trailer bool) {
	h.Begin(limits, room, trailer)
	h.response = true
}

// Response makes the response of a decoded head, whose lines it refers to from then on. Its Length is what Content-Length says, -1 if
// there is none. fault says what is wrong with the head, as a sentence (RFC 9113 section 8.1.1, RFC 9114 section 4.1.2); "": nothing.
func (h *Section) Response(r *message.Response) (fault string) {
	r.Reset(0)
	if h.Fault != "" {
		return h.Fault
	}
	status := h.Text(PseudoStatus)
	if len(status) != 3 {
		return "The status is missing or malformed."
	}
	for _, c := range status {
		if c < '0' || c > '9' {
			return "The status is missing or malformed."
		}
		r.Status = r.Status*10 + int(c-'0')
	}
	if r.Status < 100 || r.Status == http.StatusSwitchingProtocols { // RFC 9113 section 8.6
		return "The status is one that this version of HTTP does not have."
	}
	r.Length = -1
	for i := range h.fields {
		s := &h.fields[i]
		switch s.kind {
		case message.Connection, message.KeepAlive, message.ProxyConnection, message.TransferEncoding, message.Upgrade, message.HTTP2Settings:
			return "There is a field that is for connections of HTTP/1 alone."
		case message.ContentLengthField:
			n, ok := message.ContentLength(h.Room[s.value : s.end-len("\r\n")])
			if !ok || r.Length >= 0 {
				return "The Content-Length is malformed or repeated."
			}
			r.Length = n
		}
	}
	r.Fields = h.AppendFields(r.Fields)
	for i := range r.Fields {
		if r.Fields[i].Kind == message.Trailer {
			message.CutAnnouncement(&r.Fields[i], nil)
		}
	}
	return ""
}

// Trailers returns the fields of a trailer section that may be forwarded; nil if there are none. They do not refer to Room.
func (h *Section) Trailers() (kept []message.Field) {
	h.Room = append([]byte(nil), h.Room...)
	for _, f := range h.AppendFields(nil) {
		if !message.ForbiddenInTrailer(&f) && !f.Hop {
			kept = append(kept, f)
		}
	}
	return kept
}

// OnlyInHTTP1 reports whether a field of a response that opens a WebSocket belongs to HTTP/1 alone. A stream of HTTP/2 or HTTP/3 has no
// handshake beside its head, and no body (RFC 8441 section 5, RFC 9110 section 9.3.6).
func OnlyInHTTP1(f *message.Field) bool {
	return f.Kind == message.ContentLengthField || message.EqualFold(f.Name, "sec-websocket-accept")
}
