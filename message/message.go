// Package message has requests and responses independent of the protocol version. The packages of a protocol read and
// write them; all other packages use only these.
package message

// Request is the head of a request. Its slices are parts of the received bytes, and are valid as long as those.
type Request struct {
	Method []byte
	Target []byte // as the client wrote it
	// Authority is the host, and perhaps the port, that the request is for; nil if it names none, as HTTP/1.0 may.
	Authority []byte
	Fields    []Field // in their order, repeats kept; see Field.Hop
	// Length is the number of bytes of the body: 0 if there is none, -1 if it is not known before its end.
	Length int64
	// Announced says that the head gives the length of the body, even if that is 0.
	Announced bool
	// Continue says that the sender waits for a 100 (Continue) before it sends the body.
	Continue bool
	// Interim says that the sender understands interim responses.
	Interim bool
	// Trailers says that the sender takes trailer fields (TE: trailers); it is set for requests to backends.
	Trailers bool
	// Upgrade is the list of protocols that the client offers to switch to; nil if it offers none, or cannot.
	Upgrade []byte
	// Version is what a log shows, as "HTTP/1.1".
	Version string

	room []byte // for the lines of Add
}

// Response is the head of a response, with slices as those of a Request.
type Response struct {
	Status int
	// Reason is the reason phrase, where the protocol has one; nil: the usual one.
	Reason []byte
	Fields []Field
	// Length is the number of bytes of the body: 0 if there is none, -1 if it is not known before its end. To HEAD it is that of the
	// response to GET, if the head gives it.
	Length int64

	room []byte // for the lines of Add
}

// Clone returns a copy that shares nothing with r. Each of its fields must be a slice of its Line.
func (r *Request) Clone() Request {
	size := len(r.Method) + len(r.Target) + len(r.Authority) + len(r.Upgrade)
	for i := range r.Fields {
		size += len(r.Fields[i].Line)
	}
	all := make([]byte, 0, size)
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		start := len(all)
		all = append(all, b...)
		return all[start:]
	}
	c := *r
	c.Method, c.Target, c.Authority, c.Upgrade, c.room = keep(r.Method), keep(r.Target), keep(r.Authority), keep(r.Upgrade), nil
	c.Fields = make([]Field, len(r.Fields))
	for i := range r.Fields {
		from, to := &r.Fields[i], &c.Fields[i]
		*to = *from
		to.Line = keep(from.Line)
		to.Name = to.Line[:len(from.Name)]
		// Both slices end where their memory does, so that this is where the value begins in the line.
		at := cap(from.Line) - cap(from.Value)
		to.Value = to.Line[at : at+len(from.Value)]
	}
	return c
}

// IsHead reports whether the method is HEAD, to which no response has a body.
func (r *Request) IsHead() bool { return string(r.Method) == "HEAD" }

// Reset empties the response, and keeps the room of its fields.
func (r *Response) Reset(status int) {
	*r = Response{Status: status, Fields: r.Fields[:0], room: r.room[:0]}
}

// Reset empties the request, and keeps the room of its fields.
func (r *Request) Reset() { *r = Request{Fields: r.Fields[:0], room: r.room[:0]} }
