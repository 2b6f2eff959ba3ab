package staticcache

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"

	"lb/message"
)

// answerCached answers from memory. It allocates nothing but for ranges.
func (d *Dir) answerCached(w ResponseWriter, r *Request, e *entry, hit bool) error {
	v := r.evaluate(&e.representation)
	switch {
	case v == verdictNotModified:
		d.cache.counts.notModified.Inc()
		return w.Respond(http.StatusNotModified, e.short, nil)
	case hit:
		d.cache.counts.hit.Inc()
	default:
		d.cache.counts.miss.Inc()
	}
	switch {
	case v == verdictFailed:
		return preconditionFailed(w)
	case len(r.Method) == len("HEAD"):
		return w.Respond(http.StatusOK, e.header, nil)
	case len(r.Range) > 0:
		return answerRange(w, r, &e.representation, content{body: e.body}, e.header)
	}
	return w.Respond(http.StatusOK, e.header, e.body)
}

// answerFile answers from an open descriptor.
func (d *Dir) answerFile(w ResponseWriter, r *Request, rep *representation, f *os.File) error {
	s := d.cache.lend()
	defer d.cache.scratches.Put(s)
	v := r.evaluate(rep)
	if v == verdictNotModified {
		d.cache.counts.notModified.Inc()
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
		return answerRange(w, r, rep, content{file: f}, full)
	}
	return content{file: f}.send(w, http.StatusOK, full, span{0, rep.size})
}

func preconditionFailed(w ResponseWriter) error {
	return w.Respond(http.StatusPreconditionFailed, []message.Field{noBytes}, nil)
}

var noBytes = message.NewField("Content-Length", "0")

// content is where the bytes come from: memory, or a file.
type content struct {
	body []byte
	file *os.File
}

func (c content) send(w ResponseWriter, status int, header []message.Field, s span) error {
	if c.file != nil {
		return w.RespondFile(status, header, c.file, s.start, s.length)
	}
	return w.Respond(status, header, c.body[s.start:s.start+s.length])
}

// part is head followed by a stretch of the content.
func (c content) appendPart(parts []Part, head []byte, s span) []Part {
	if c.file != nil {
		return append(parts, Part{Bytes: head, Offset: s.start, Length: s.length})
	}
	return append(parts, Part{Bytes: head}, Part{Bytes: c.body[s.start : s.start+s.length]})
}

// answerRange answers a GET with a Range field; full is the header of the whole. Only GET comes here:
// section 14.2 of RFC 9110 defines ranges for no other method.
func answerRange(w ResponseWriter, r *Request, rep *representation, c content, full []message.Field) error {
	if !r.rangeHolds(rep) {
		return c.send(w, http.StatusOK, full, span{0, rep.size})
	}
	var room [maxRanges]span
	spans, ok := parseRange(room[:0], r.Range, rep.size)
	if !ok {
		return w.Respond(http.StatusRequestedRangeNotSatisfiable,
			[]message.Field{message.NewField("Content-Range", fmt.Sprintf("bytes */%d", rep.size)), noBytes}, nil)
	}
	switch len(spans) {
	case 0:
		return c.send(w, http.StatusOK, full, span{0, rep.size})
	case 1:
		header := spans[0].appendContentRange(nil, rep.size)
		header = rep.appendFull(header, spans[0].length)
		return c.send(w, http.StatusPartialContent, message.Lines(header, nil), spans[0])
	}
	return answerParts(w, rep, c, spans, cmp.Or(r.PartType, rep.contentType))
}

// answerParts answers with multipart/byteranges (RFC 9110 section 14.6). The boundary is drawn for each
// answer, so that no file can contain it on purpose.
func answerParts(w ResponseWriter, rep *representation, c content, spans []span, partType string) error {
	boundary := strconv.FormatUint(rand.Uint64(), 36) + strconv.FormatUint(rand.Uint64(), 36)
	parts := make([]Part, 0, 2*len(spans)+1)
	var length int64
	for i, s := range spans {
		var head []byte
		if i > 0 {
			head = append(head, "\r\n"...)
		}
		head = append(append(append(head, "--"...), boundary...), "\r\n"...)
		head = appendLine(head, "Content-Type: ", partType)
		head = append(s.appendContentRange(head, rep.size), "\r\n"...)
		parts = c.appendPart(parts, head, s)
		length += int64(len(head)) + s.length
	}
	tail := []byte("\r\n--" + boundary + "--\r\n")
	parts = append(parts, Part{Bytes: tail})
	whole := *rep
	whole.contentType = "multipart/byteranges; boundary=" + boundary
	length += int64(len(tail))
	header := message.Lines(whole.appendFull(nil, length), nil)
	return w.RespondParts(http.StatusPartialContent, header, length, c.file, parts)
}
