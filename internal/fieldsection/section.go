// Package fieldsection makes requests of the field sections of HTTP/2 and HTTP/3, which differ in their compression alone. What could be
// read in two ways as HTTP/1 towards a backend is refused.
package fieldsection

import "lb/message"

// Section is a field section while it is decoded: its fields as the lines of HTTP/1, which is how a message.Request has them.
type Section struct {
	Room  []byte // the lines, and the pseudo-header fields
	Fault string // what is wrong with the fields, as a sentence; "": nothing

	trailer  bool // it is a trailer section
	response bool // it is of a response
	limits   Limits

	fields []span
	pseudo [pseudos]span
	seen   [pseudos]bool
	cookie []byte // all Cookie fields as one (RFC 9113 section 8.2.3)
	crumbs int

	count int // of all fields, those that are not kept included
	size  int // of their lines
}

// Limits bound a section.
type Limits struct {
	HeaderSize   int // bytes of a head, as the lines of HTTP/1 would have them
	HeaderFields int // fields of a head, and of a trailer section
}

// span is where a field lies in Section.Room: its line from start to end, and its value.
type span struct {
	start, name, value, end int
	kind                    message.Kind
}

// The pseudo-header fields of requests (RFC 9113 section 8.3.1, RFC 9114 section 4.3.1, RFC 8441 section 4).
const (
	PseudoMethod = iota
	PseudoScheme
	PseudoPath
	PseudoAuthority
	PseudoProtocol
	pseudos

	PseudoStatus = PseudoMethod // of a response, which has no other (RFC 9113 section 8.3.2, RFC 9114 section 4.3.2)
)

// Begin makes h ready for a section. The lines are appended to room, which is overwritten.
func (h *Section) Begin(limits Limits, room []byte, trailer bool) {
	*h = Section{limits: limits, trailer: trailer, Room: room[:0], fields: h.fields[:0], cookie: h.cookie[:0]}
}

// The excess over the limits of a head above which a section is treated as an attack, not as a large request: one byte of a compressed
// section can stand for a field of 4 KiB.
const (
	bombShare  = 4
	bombFields = 256
	bombBytes  = 64 << 10
)

// IsBomb reports whether the section stands for far more than a head may have.
func (h *Section) IsBomb() bool {
	return h.count > bombShare*h.limits.HeaderFields+bombFields || h.size > bombShare*h.limits.HeaderSize+bombBytes
}

// TooMany reports whether there are more fields than allowed. Crumbs of a cookie are one field.
func (h *Section) TooMany() bool {
	return h.count-max(h.crumbs-1, 0) > h.limits.HeaderFields+pseudos
}

// TooLarge reports whether the lines have more bytes than allowed.
func (h *Section) TooLarge() bool { return h.size > h.limits.HeaderSize }

// lineExtra is what a line of HTTP/1 has beside name and value.
const lineExtra = len(": \r\n")

// Add takes the next field of the section.
func (h *Section) Add(name, value string) {
	h.count++
	h.size += len(name) + len(value) + lineExtra
	if h.Fault != "" || h.TooLarge() || h.TooMany() {
		return
	}
	if len(name) > 0 && name[0] == ':' {
		h.addPseudo(name, value)
		return
	}
	switch {
	case !isLowerToken(name):
		h.Fault = "A field name is empty, has an upper-case letter, or a byte that must not be there."
		return
	case !isValue(value):
		h.Fault = "A field value has a control character, or white space at an end."
		return
	case name == "cookie" && !h.trailer && !h.response:
		if h.crumbs++; h.crumbs > 1 {
			h.cookie = append(h.cookie, "; "...)
		}
		h.cookie = append(h.cookie, value...)
		return
	}
	h.line(name, value)
}

// line appends a line.
func (h *Section) line(name, value string) {
	s := span{start: len(h.Room)}
	h.Room = append(h.Room, name...)
	s.name = len(h.Room)
	s.kind = message.KindOf(h.Room[s.start:])
	h.Room = append(h.Room, ": "...)
	s.value = len(h.Room)
	h.Room = append(h.Room, value...)
	h.Room = append(h.Room, "\r\n"...)
	s.end = len(h.Room)
	h.fields = append(h.fields, s)
}

func (h *Section) addPseudo(name, value string) {
	which := PseudoMethod
	switch {
	case h.response && name == ":status":
	case h.response:
		which = pseudos
	default:
		which = pseudoOfRequest(name)
	}
	switch {
	case h.trailer, which == pseudos:
		h.Fault = "There is a pseudo-header field that does not belong there."
	case h.seen[which]:
		h.Fault = "A pseudo-header field is repeated."
	case len(h.fields) > 0 || h.crumbs > 0:
		h.Fault = "A pseudo-header field stands behind a header field."
	default:
		h.seen[which] = true
		s := span{start: len(h.Room), value: len(h.Room)}
		h.Room = append(h.Room, value...)
		s.end = len(h.Room)
		h.pseudo[which] = s
	}
}

// pseudoOfRequest returns which pseudo-header field of a request has that name.
func pseudoOfRequest(name string) int {
	switch name {
	case ":method":
		return PseudoMethod
	case ":scheme":
		return PseudoScheme
	case ":path":
		return PseudoPath
	case ":authority":
		return PseudoAuthority
	case ":protocol":
		return PseudoProtocol
	}
	return pseudos
}

// Text returns the value of a pseudo-header field; nil if it is missing.
func (h *Section) Text(which int) []byte {
	if !h.seen[which] {
		return nil
	}
	s := h.pseudo[which]
	return h.Room[s.start:s.end]
}

// AppendFields appends the fields as slices of the lines, which must not move any more. A Field needs slices that end where the lines do.
func (h *Section) AppendFields(to []message.Field) []message.Field {
	for i := range h.fields {
		s := &h.fields[i]
		to = append(to, message.Field{
			Line: h.Room[s.start:s.end], Name: h.Room[s.start:s.name], Value: h.Room[s.value : s.end-len("\r\n")],
			Kind: s.kind, Hop: s.kind.HopByHop(),
		})
	}
	return to
}

// HasBody reports whether there is a Content-Length other than 0.
func (h *Section) HasBody() bool {
	for i := range h.fields {
		if s := &h.fields[i]; s.kind == message.ContentLengthField && string(h.Room[s.value:s.end-len("\r\n")]) != "0" {
			return true
		}
	}
	return false
}

// isLowerToken reports whether name is a field name as HTTP/2 and HTTP/3 have it (RFC 9113 section 8.2.1, RFC 9114 section 4.2).
func isLowerToken(name string) bool {
	for i := range len(name) {
		if c := name[i]; !message.IsTokenByte(c) || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return len(name) > 0
}

// isValue reports whether value is a field value as HTTP/2 and HTTP/3 have it: without controls, and without white space around it
// (RFC 9113 section 8.2.1).
func isValue(value string) bool {
	for i := range len(value) {
		if !message.IsValueByte(value[i]) {
			return false
		}
	}
	return len(value) == 0 || !isSpace(value[0]) && !isSpace(value[len(value)-1])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }
