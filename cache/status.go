package cache

import "strconv"

// AppendHit appends the value of Cache-Status for a stored response (RFC 9211).
func (e *Entry) AppendHit(b []byte, now int64) []byte {
	b = append(b, "lb; hit; ttl="...)
	return strconv.AppendInt(b, e.Left(now), 10)
}

// AppendForwarded appends the value of Cache-Status for a request that was forwarded: why, the status of the backend's response if that is
// not the client's, 0 if it is, and whether the response is being stored.
func AppendForwarded(b []byte, why string, status int, stored bool) []byte {
	b = append(append(b, "lb; fwd="...), why...)
	if status != 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(status), 10)
	}
	if stored {
		b = append(b, "; stored"...)
	}
	return b
}
