package fieldsection

// lengthBits are the bits of a string's first byte that hold its length; the one above says whether Huffman coding is used.
const lengthBits = 7

// AppendInteger appends n in the lower bits of the first byte, whose others are those of pattern, and in as many more as it needs
// (RFC 7541 section 5.1).
func AppendInteger(b []byte, pattern byte, bits, n int) []byte {
	most := 1<<bits - 1
	if n < most {
		return append(b, pattern|byte(n))
	}
	b = append(b, pattern|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// AppendString appends a string without Huffman coding (RFC 7541 section 5.2, RFC 9204 section 4.1.2).
func AppendString(b, s []byte) []byte { return append(AppendInteger(b, 0, lengthBits, len(s)), s...) }
