package staticcache

import (
	"cmp"
	"net/http"
	"os"

	"lb/internal/byterange"
	"lb/internal/coding"
	"lb/message"
)

// respondCached responds from memory. It allocates only for ranges.
func (d *Dir) respondCached(w ResponseWriter, r *Request, file *entry, hit bool) error {
	e := &file.variant
	if file.negotiated {
		e = d.choose(file, r)
	}
	v := r.evaluate(&e.representation)
	switch {
	case v == verdictNotModified:
		d.cache.counts.notModified.Add(r.Loop, 1)
		return w.Respond(http.StatusNotModified, e.short, nil)
	case hit:
		d.cache.counts.hit.Add(r.Loop, 1)
	default:
		d.cache.counts.miss.Inc()
	}
	switch {
	case v == verdictFailed:
		return preconditionFailed(w)
	case len(r.Method) == len("HEAD"):
		return w.Respond(http.StatusOK, e.header, nil)
	case len(r.Range) > 0:
		return respondRange(w, r, &e.representation, content{body: e.body}, e.header)
	}
	return w.Respond(http.StatusOK, e.header, e.body)
}

// respondFile responds from an open descriptor.
func (d *Dir) respondFile(w ResponseWriter, r *Request, rep *representation, f *os.File) error {
	s := d.cache.scratch()
	defer d.cache.scratches.Put(s)
	v := r.evaluate(rep)
	if v == verdictNotModified {
		d.cache.counts.notModified.Add(r.Loop, 1)
		s.b = rep.appendValidators(s.b[:0], true)
		return w.Respond(http.StatusNotModified, s.fields(), nil)
	}
	d.cache.counts.stream.Inc()
	s.b = rep.appendFull(s.b[:0], rep.size)
	full := s.fields()
	switch {
	case v == verdictFailed:
		return preconditionFailed(w)
	case len(r.Method) == len("HEAD"):
		return w.Respond(http.StatusOK, full, nil)
	case len(r.Range) > 0:
		return respondRange(w, r, rep, content{file: f}, full)
	}
	return content{file: f}.send(w, http.StatusOK, full, byterange.Span{Length: rep.size})
}

func preconditionFailed(w ResponseWriter) error {
	return w.Respond(http.StatusPreconditionFailed, []message.Field{noBytes}, nil)
}

var noBytes = message.NewField("Content-Length", "0")

// content is the source of a body: memory or a file.
type content struct {
	body []byte
	file *os.File
}

func (c content) send(w ResponseWriter, status int, header []message.Field, s byterange.Span) error {
	if c.file != nil {
		return w.RespondFile(status, header, c.file, s.Start, s.Length)
	}
	return w.Respond(status, header, c.body[s.Start:s.Start+s.Length])
}

// part is head followed by a stretch of the content.
func (c content) appendPart(parts []Part, head []byte, s byterange.Span) []Part {
	if c.file != nil {
		return append(parts, Part{Bytes: head, Offset: s.Start, Length: s.Length})
	}
	return append(parts, Part{Bytes: head}, Part{Bytes: c.body[s.Start : s.Start+s.Length]})
}

// respondRange responds to a GET with a Range field; full is the header of the whole. Only GET comes here:
// section 14.2 of RFC 9110 defines ranges for no other method.
func respondRange(w ResponseWriter, r *Request, rep *representation, c content, full []message.Field) error {
	if !r.rangeHolds(rep) {
		return c.send(w, http.StatusOK, full, byterange.Span{Length: rep.size})
	}
	var room [byterange.Most]byterange.Span
	spans, ok := byterange.Parse(room[:0], r.Range, rep.size)
	if !ok {
		return w.Respond(http.StatusRequestedRangeNotSatisfiable,
			[]message.Field{message.NewField("Content-Range", string(byterange.AppendNone(nil, rep.size))), noBytes}, nil)
	}
	if len(spans) > 1 && rep.coding != coding.Identity {
		spans = nil // Content-Encoding would be that of the parts together with what separates them
	}
	switch len(spans) {
	case 0:
		return c.send(w, http.StatusOK, full, byterange.Span{Length: rep.size})
	case 1:
		header := append(spans[0].Append([]byte("Content-Range: "), rep.size), "\r\n"...)
		header = rep.appendFull(header, spans[0].Length)
		return c.send(w, http.StatusPartialContent, message.Lines(header, nil), spans[0])
	}
	return respondParts(w, rep, c, spans, cmp.Or(r.PartType, rep.contentType))
}

// respondParts responds with several parts.
func respondParts(w ResponseWriter, rep *representation, c content, spans []byterange.Span, partType string) error {
	m := byterange.NewMultipart(spans, rep.size, partType)
	parts := make([]Part, 0, 2*len(spans)+1)
	for i, s := range spans {
		parts = c.appendPart(parts, m.Heads[i], s)
	}
	parts = append(parts, Part{Bytes: m.Tail})
	whole := *rep
	whole.contentType = m.Type
	return w.RespondParts(http.StatusPartialContent, message.Lines(whole.appendFull(nil, m.Length), nil), m.Length, c.file, parts)
}
