//go:build poison

package poison

// Fill overwrites b up to its capacity.
func Fill(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = Byte
	}
}
