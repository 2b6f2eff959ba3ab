package message

import "encoding/binary"

// class says for each byte where it may be in a message head.
var class = func() (t [256]uint8) {
	for c := 0; c < 256; c++ {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= valueByte
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] |= tokenByte
	}
	return t
}()

const (
	tokenByte = 1 << iota // tchar, RFC 9110 section 5.6.2
	valueByte             // field-vchar, SP, HTAB; obs-text too, RFC 9110 section 5.5
)

// IsToken reports whether b is a token: a method or a field name.
func IsToken(b []byte) bool {
	for _, c := range b {
		if class[c]&tokenByte == 0 {
			return false
		}
	}
	return len(b) > 0
}

// IsTokenByte reports whether c may be in a token.
func IsTokenByte(c byte) bool { return class[c]&tokenByte != 0 }

// IsValueByte reports whether c may be in a field value.
func IsValueByte(c byte) bool { return class[c]&valueByte != 0 }

// IsFieldValue reports whether b holds no control byte but HTAB.
func IsFieldValue(b []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 { // eight bytes at a time; HTAB and what is to be refused are looked at one by one
		x := binary.LittleEndian.Uint64(b)
		del := x ^ 0x7f*ones
		if ((x-0x20*ones)&^x|(del-ones)&^del)&high != 0 && !areValueBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return areValueBytes(b)
}

func areValueBytes(b []byte) bool {
	for _, c := range b {
		if class[c]&valueByte == 0 {
			return false
		}
	}
	return true
}

// EqualFold compares ASCII without regard to case; lower must be in lower case.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := 0; i < len(b); i++ {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// TrimSpace cuts optional white space (SP and HTAB) off both ends.
func TrimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
