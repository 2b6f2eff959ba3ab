package http1

// Rebase has all spans of a head, which lay in from, lie in to, an equal copy of it.
func (h *RequestHead) Rebase(from, to []byte) {
	r := &h.Request
	r.Method = moved(r.Method, from, to)
	r.Target = moved(r.Target, from, to)
	r.Authority = moved(r.Authority, from, to)
	r.Upgrade = moved(r.Upgrade, from, to)
	for i := range r.Fields {
		f := &r.Fields[i]
		f.Line = moved(f.Line, from, to)
		f.Name = moved(f.Name, from, to)
		f.Value = moved(f.Value, from, to)
	}
}

// moved returns the span of to that b is of from. What does not lie in from, such as a list made of several fields, stays.
func moved(b, from, to []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := cap(from) - cap(b) // both end where the buffer ends
	if at < 0 || at+len(b) > len(from) || &from[at] != &b[0] {
		return b
	}
	return to[at : at+len(b) : at+len(b)]
}
