package message

import "bytes"

// Named returns the value of the first field of that name, which is in lower case; nil if there is none.
func Named(fields []Field, lower string) []byte {
	for i := range fields {
		if EqualFold(fields[i].Name, lower) {
			return fields[i].Value
		}
	}
	return nil
}

// Cookie returns the value of the first cookie of that name, whose case matters (RFC 6265 section 5.4); nil if there is none.
// HTTP/2 clients may send several Cookie fields.
func Cookie(fields []Field, name string) []byte {
	for i := range fields {
		if !EqualFold(fields[i].Name, "cookie") {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte{';'})
			pair = TrimSpace(pair)
			if n := len(name); len(pair) > n && pair[n] == '=' && string(pair[:n]) == name {
				return pair[n+1:]
			}
		}
	}
	return nil
}
