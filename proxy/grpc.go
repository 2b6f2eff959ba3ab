package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"lb/message"
	"lb/transport"
)

// isGRPC reports whether the request is a call by gRPC, whose clients read errors from the field grpc-status alone. gRPC-Web is not: its
// clients understand the statuses of HTTP.
func (x *Exchange) isGRPC() bool {
	const media = "application/grpc"
	for i := range x.Request.Fields {
		f := &x.Request.Fields[i]
		if f.Kind != message.Other || !message.EqualFold(f.Name, "content-type") {
			continue
		}
		if len(f.Value) < len(media) || !message.EqualFold(f.Value[:len(media)], media) {
			return false
		}
		rest := f.Value[len(media):]
		return len(rest) == 0 || rest[0] == '+' || rest[0] == ';'
	}
	return false
}

// refuseGRPC responds to a call by gRPC with an error in the form of a response without messages ("trailers-only"), whose status in HTTP is
// 200. status is what an HTTP client would get; the access log and the metrics have that.
func (x *Exchange) refuseGRPC(status int, reason string) {
	x.client.DropArrived()
	x.beginOwn(http.StatusOK, nil)
	r := &x.response
	r.Add("Content-Type", "application/grpc")
	code := grpcStatus(status)
	x.called(code)
	r.Add("Grpc-Status", strconv.Itoa(code))
	r.Add("Grpc-Message", grpcMessage(reason))
	if strings.HasPrefix(x.Request.Version, "HTTP/1") {
		r.SetLength(0)
	}
	x.filterResponse(ownKind(status))
	r.AddBytes(message.NameXRequestID, x.id)
	x.status = status
	x.respond(nil)
}

// grpcStatus returns the gRPC status code for a status of lb's own response. Where a status says more than gRPC's mapping for responses
// that are not by gRPC, the more specific code is used.
func grpcStatus(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return 12 // UNIMPLEMENTED
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return 4 // DEADLINE_EXCEEDED
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return 14 // UNAVAILABLE
	case http.StatusBadRequest, http.StatusInternalServerError:
		return 13 // INTERNAL
	}
	return 2 // UNKNOWN
}

const (
	grpcUnknown     = 2
	grpcUnavailable = 14
	mostGRPC        = 16 // the last status that gRPC has
)

// grpcField returns the status in the field grpc-status, -1 if there is none. Clients take one that gRPC does not have for UNKNOWN.
func grpcField(fields []message.Field) int {
	for i := range fields {
		f := &fields[i]
		if f.Kind != message.Other || !message.EqualFold(f.Name, "grpc-status") {
			continue
		}
		code := 0
		for _, c := range f.Value {
			if code = 10*code + int(c) - '0'; c < '0' || c > '9' || code > mostGRPC {
				return grpcUnknown
			}
		}
		if len(f.Value) == 0 {
			return grpcUnknown
		}
		return code
	}
	return -1
}

// noteCall takes note of the status of a call if it is among the fields of the backend's head or trailer section.
func (x *Exchange) noteCall(fields []message.Field) {
	if x.forward.HTTP2 && len(fields) > 0 && x.isGRPC() {
		if code := grpcField(fields); code >= 0 {
			x.called(code)
		}
	}
}

// called takes note of the status with which a call by gRPC ends.
func (x *Exchange) called(code int) { x.grpc, x.isCall = code, true }

// turnedDown reports whether the backend's response is UNAVAILABLE without a message: a head that ends the stream ("trailers-only").
func (x *Exchange) turnedDown() bool {
	return x.conn.BodyLength() == 0 && grpcField(x.conn.Head().Fields) == grpcUnavailable && x.isGRPC()
}

// expired reports whether a backend has cancelled a call because its deadline has passed, as gRPC servers do. That is not the backend's fault.
func (x *Exchange) expired(err *transport.Error) bool {
	if !err.Cancelled() || !x.isGRPC() {
		return false
	}
	limit, ok := grpcTimeout(message.Named(x.Request.Fields, "grpc-timeout"))
	return ok && x.worker.Loop.Now().Sub(x.start) >= limit
}

// grpcTimeout reads a value of grpc-timeout: up to eight digits and a unit.
func grpcTimeout(value []byte) (d time.Duration, ok bool) {
	last := len(value) - 1
	if last < 1 || last > 8 {
		return 0, false
	}
	for _, c := range value[:last] {
		if c < '0' || c > '9' {
			return 0, false
		}
		d = 10*d + time.Duration(c-'0')
	}
	switch value[last] {
	case 'H':
		return d * time.Hour, d < 1<<21 // else it would overflow
	case 'M':
		return d * time.Minute, true
	case 'S':
		return d * time.Second, true
	case 'm':
		return d * time.Millisecond, true
	case 'u':
		return d * time.Microsecond, true
	case 'n':
		return d, true
	}
	return 0, false
}

// grpcMessage encodes a text for the field grpc-message: printable ASCII, with percent-encoding for the rest.
func grpcMessage(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
