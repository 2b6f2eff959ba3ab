package wire

// MaxConnectionOptions is the most options that the Connection fields of a message may name. A message with more is
// refused: no sane one has them, and each field is compared with each.
const MaxConnectionOptions = 16

// ConnectionOptions are the names in the Connection fields of a message, which are those of fields for the next hop alone
// (RFC 9110 section 7.6.1). The zero value has none.
type ConnectionOptions struct {
	n     int
	names [MaxConnectionOptions][]byte
}

// Read takes the names from the fields of a head, of which it keeps slices. It takes MaxConnectionOptions of them; the
// usual ones that are no fields, or are left out anyway, do not count.
func (o *ConnectionOptions) Read(fields []Field) {
	o.n = 0
	for i := range fields {
		if fields[i].Kind != Connection {
			continue
		}
		for list := fields[i].Value; len(list) > 0 && o.n < len(o.names); {
			var item []byte
			item, list = NextListItem(list)
			if len(item) > 0 && !EqualFold(item, "close") && !EqualFold(item, "keep-alive") && !EqualFold(item, "upgrade") {
				o.names[o.n] = item
				o.n++
			}
		}
	}
}

// Name reports whether one of the options is the name of that header or trailer field. What frames or routes a
// message cannot be taken away so.
func (o *ConnectionOptions) Name(f *Field) bool {
	if o.n == 0 || f.Kind == Host || f.Kind == ContentLengthField {
		return false
	}
	for _, name := range o.names[:o.n] {
		if sameName(name, f.Name) {
			return true
		}
	}
	return false
}

// sameName compares field names without regard to case.
func sameName(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// countItems counts the items of a comma-separated list that are not empty.
func countItems(list []byte) (n int) {
	for len(list) > 0 {
		var item []byte
		if item, list = NextListItem(list); len(item) > 0 {
			n++
		}
	}
	return n
}
