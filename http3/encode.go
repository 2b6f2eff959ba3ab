package http3

import (
	"net/http"
	"strconv"

	"lb/internal/fieldsection"
	"lb/message"
)

// Response heads are encoded without a dynamic table: what is sent does not depend on what was sent before (which is what attacks on the
// compression of secrets measure), no stream waits for another one, and nothing is allocated.

// Representations of a field (RFC 9204 section 4.5): the patterns, and the bits that are left for an index or a length.
const (
	indexed       = 0xc0 // of the static table
	indexedBits   = 6
	nameRef       = 0x50 // a name of the static table, with a literal value
	nameRefBits   = 4
	literalName   = 0x20
	literalBits   = 3
	neverIndexed  = 0x20       // added to nameRef: not even by an intermediary that forwards it
	sectionPrefix = "\x00\x00" // no dynamic table (RFC 9204 section 4.5.1)
)

// staticNames are the indices of field names in the static table (RFC 9204 appendix A), of those that responses have.
var staticNames = map[string]int{
	"accept-ranges": 32, "access-control-allow-credentials": 73, "access-control-allow-headers": 75, "access-control-allow-methods": 76,
	"access-control-allow-origin": 35, "access-control-expose-headers": 79, "age": 2, "alt-svc": 83, "cache-control": 36,
	"content-disposition": 3, "content-encoding": 42, "content-length": 4, "content-security-policy": 85, "content-type": 44, "date": 6,
	"etag": 7, "last-modified": 10, "link": 11, "location": 12, "server": 92, "set-cookie": 14, "strict-transport-security": 56,
	"timing-allow-origin": 93, "vary": 59, "x-content-type-options": 61, "x-frame-options": 97, "x-xss-protection": 62,
}

// statusIndices are the statuses that the static table has with their values.
var statusIndices = map[int]int{
	103: 24, 200: 25, 304: 26, 404: 27, 503: 28, 100: 63, 204: 64, 206: 65, 302: 66, 400: 67, 403: 68, 421: 69, 425: 70, 500: 71,
}

// indexStatus is an index of the name :status.
const indexStatus = 24

// appendStatus appends the :status field.
func appendStatus(b []byte, status int) []byte {
	if i, ok := statusIndices[status]; ok {
		return fieldsection.AppendInteger(b, indexed, indexedBits, i)
	}
	b = fieldsection.AppendInteger(b, nameRef, nameRefBits, indexStatus)
	b = append(b, 3)
	return strconv.AppendInt(b, int64(status), 10)
}

// appendField appends a field, with its name in lower case.
func appendField(b []byte, f *message.Field) []byte {
	var room [64]byte
	name := message.AppendLower(room[:0], f.Name)
	if i := staticNames[string(name)]; i > 0 {
		pattern := byte(nameRef)
		if string(name) == "set-cookie" {
			pattern |= neverIndexed
		}
		b = fieldsection.AppendInteger(b, pattern, nameRefBits, i)
	} else {
		b = append(fieldsection.AppendInteger(b, literalName, literalBits, len(name)), name...)
	}
	return fieldsection.AppendString(b, f.Value)
}

// appendResponse appends the field section of a response, without the fields that are for connections of HTTP/1 alone. upgraded says that a
// 101 opens a tunnel, which is a 200 here (RFC 9220 section 3).
func appendResponse(b []byte, r *message.Response, upgraded bool) []byte {
	b = append(b, sectionPrefix...)
	status := r.Status
	if upgraded {
		status = http.StatusOK
	}
	b = appendStatus(b, status)
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Kind.HopByHop():
		case upgraded && fieldsection.OnlyInHTTP1(f):
		default:
			b = appendField(b, f)
		}
	}
	return b
}

// appendTrailers appends a trailer section.
func appendTrailers(b []byte, trailers []message.Field) []byte {
	b = append(b, sectionPrefix...)
	for i := range trailers {
		if !trailers[i].Kind.HopByHop() {
			b = appendField(b, &trailers[i])
		}
	}
	return b
}
