package message

import "bytes"

// TargetAuthority returns the host and port of a target in absolute-form, http or https.
func TargetAuthority(target []byte) (authority []byte, ok bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) >= len(scheme) && EqualFold(target[:len(scheme)], scheme) {
			target = target[len(scheme):]
			if end := bytes.IndexAny(target, "/?"); end >= 0 {
				target = target[:end]
			}
			return target, true
		}
	}
	return nil, false
}

// MaxHost is the longest host, in bytes, that is looked up. DNS names have at most 253 (RFC 1035 section 2.3.4).
const MaxHost = 255

// IsAuthority reports whether b is a host and perhaps a port, as RFC 3986 section 3.2 has them
// and nothing reads differently: no user, no comma, no byte outside of ASCII, no port over 65535, no host over 255 bytes.
func IsAuthority(b []byte) bool {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 3 || end > MaxHost || !isIPv6(b[1:end]) {
			return false
		}
		host, port = nil, b[end+1:]
		if len(port) > 0 && port[0] != ':' {
			return false
		}
	} else if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		host, port = b[:colon], b[colon:]
		if colon == 0 {
			return false
		}
	} else if len(b) == 0 {
		return false
	}
	if len(host) > MaxHost {
		return false
	}
	for i, c := range host {
		if class[c]&tokenByte == 0 && !isSubDelim(c) || isNoHostByte(c) {
			return false
		}
		if c == '%' && (i+2 >= len(host) || !isHex(host[i+1]) || !isHex(host[i+2])) {
			return false
		}
	}
	return len(port) < 2 || isPort(port[1:])
}

// isNoHostByte names the token bytes that no host may hold.
func isNoHostByte(c byte) bool { return c == '#' || c == '^' || c == '`' || c == '|' }

// isSubDelim names the bytes that a host may hold and a token may not, but for the comma.
func isSubDelim(c byte) bool { return c == '(' || c == ')' || c == ';' || c == '=' }

func isIPv6(b []byte) bool {
	for _, c := range b {
		if !isHex(c) && c != ':' && c != '.' {
			return false
		}
	}
	return true
}

func isPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if !isDigit(c) || n > 65535 {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return n <= 65535
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }
