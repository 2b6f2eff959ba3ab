package http2

import (
	"net/http"
	"strconv"

	"lb/internal/fieldsection"
	"lb/message"
)

// Response heads are encoded without a dynamic table: what is sent does not depend on what was sent before (which is what attacks on the
// compression of secrets measure), an idle connection keeps no table for it, and nothing is allocated.

// tableSizeZero is the dynamic table size update that says so (RFC 7541 section 6.3). It begins the first block of a connection.
const tableSizeZero = 0x20

// Representations of a field (RFC 7541 section 6.2): the patterns, and the bits that are left for an index.
const (
	literal      = 0x00 // not to be indexed by the client
	neverIndexed = 0x10 // nor by an intermediary that forwards it
	indexBits    = 4
)

// staticNames are the indices of field names in the static table (RFC 7541 appendix A).
var staticNames = map[string]int{
	"accept": 19, "accept-charset": 15, "accept-encoding": 16, "accept-language": 17, "authorization": 23, "cookie": 32, "from": 37,
	"if-match": 39, "if-modified-since": 40, "if-none-match": 41, "if-range": 42, "if-unmodified-since": 43, "max-forwards": 47,
	"range": 50, "referer": 51, "user-agent": 58,
	"accept-ranges": 18, "access-control-allow-origin": 20, "age": 21, "allow": 22, "cache-control": 24, "content-disposition": 25,
	"content-encoding": 26, "content-language": 27, "content-length": 28, "content-location": 29, "content-range": 30, "content-type": 31,
	"date": 33, "etag": 34, "expires": 36, "last-modified": 44, "link": 45, "location": 46, "proxy-authenticate": 48, "refresh": 52,
	"retry-after": 53, "server": 54, "set-cookie": 55, "strict-transport-security": 56, "vary": 59, "via": 60, "www-authenticate": 61,
}

// statusIndices are the statuses that the static table has with their values.
var statusIndices = map[int]byte{200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}

// indexStatus is the index of the name :status.
const indexStatus = 8

// appendStatus appends the :status field.
func appendStatus(b []byte, status int) []byte {
	if i, ok := statusIndices[status]; ok {
		return append(b, 0x80|i)
	}
	b = append(b, literal|indexStatus, 3)
	return strconv.AppendInt(b, int64(status), 10)
}

// appendField appends a field, with its name in lower case.
func appendField(b []byte, f *message.Field) []byte {
	var room [64]byte
	name := message.AppendLower(room[:0], f.Name)
	pattern := byte(literal)
	switch string(name) {
	case "set-cookie", "cookie", "authorization":
		pattern = neverIndexed
	}
	if i := staticNames[string(name)]; i > 0 {
		b = fieldsection.AppendInteger(b, pattern, indexBits, i)
	} else {
		b = append(b, pattern)
		b = fieldsection.AppendString(b, name)
	}
	return fieldsection.AppendString(b, f.Value)
}

// appendResponse appends the fields of a response, but for those that are for connections of HTTP/1 alone. upgraded says that a 101 opens
// a tunnel, which is a 200 here (RFC 8441 section 5).
func appendResponse(b []byte, r *message.Response, upgraded bool) []byte {
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

// appendTrailers appends the fields of a trailer section.
func appendTrailers(b []byte, trailers []message.Field) []byte {
	for i := range trailers {
		if !trailers[i].Kind.HopByHop() {
			b = appendField(b, &trailers[i])
		}
	}
	return b
}
