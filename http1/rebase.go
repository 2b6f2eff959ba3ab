package http1

// Rebase changes all slices of the head that point into from so that they point into to, a copy of from.
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

// moved returns the part of to that corresponds to b in from. A slice that is not a part of from, such as a list joined from several
// fields, is returned unchanged.
func moved(b, from, to []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := cap(from) - cap(b) // the capacities of both end at the end of the buffer
	if at < 0 || at+len(b) > len(from) || &from[at] != &b[0] {
		return b
	}
	return to[at : at+len(b) : at+len(b)]
}
