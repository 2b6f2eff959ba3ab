package route

import "bytes"

// matchesQuery reports whether each of the rule's pairs is in the query, which may begin with its "?".
func (r *Rule[A]) matchesQuery(query []byte) bool {
	for i := range r.Query {
		if !r.Query[i].inQuery(query) {
			return false
		}
	}
	return true
}

// inQuery reports whether a pair is in a query, as forms encode it. If a name occurs several times, one of them is enough.
func (h *Header) inQuery(query []byte) bool {
	if len(query) > 0 && query[0] == '?' {
		query = query[1:]
	}
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		name, value, _ := bytes.Cut(pair, []byte{'='})
		if encodes(name, h.Name) && encodes(value, h.Value) {
			return true
		}
	}
	return false
}

// encodes reports whether b is text, perhaps percent-encoded and with plus signs for spaces. Malformed escapes stand for themselves.
func encodes(b []byte, text string) bool {
	for i := 0; i < len(b); {
		c, n := decodeAt(b, i)
		if n == 1 && c == '+' {
			c = ' '
		}
		if text == "" || text[0] != c {
			return false
		}
		text = text[1:]
		i += n
	}
	return text == ""
}
