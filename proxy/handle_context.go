package proxy

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"sync"

	"github.com/valyala/fasthttp"

	"lb/message"
)

// Context returns a context.Context for the handler of a Handle. It ends when the client disconnects, and when the exchange does. For any
// other ctx Context returns context.Background().
func Context(ctx *fasthttp.RequestCtx) context.Context {
	if c, ok := ctx.UserValue(contextKey{}).(context.Context); ok {
		return c
	}
	return context.Background()
}

type contextKey struct{}

// requestContext is a fasthttp.RequestCtx with the buffers that fill it.
type requestContext struct {
	ctx    fasthttp.RequestCtx
	none   fasthttp.Request // empty
	head   []byte           // as the client could have sent it
	from   bytes.Reader
	reader *bufio.Reader
	own    message.Response // whose fields are those of the response
}

var contexts = sync.Pool{New: func() any {
	c := &requestContext{}
	c.ctx.Init(&c.none, nil, nil)
	c.reader = bufio.NewReaderSize(&c.from, contextHead)
	return c
}}

// contextHead is the initial size, in bytes, of a context's buffer for the request head.
const contextHead = 4 << 10

// fill reads the head of the request into c.ctx.
func (c *requestContext) fill(r *message.Request) error {
	b := append(append(c.head[:0], r.Method...), ' ')
	b = append(append(append(b, r.Target...), ' '), r.Version...)
	b = append(b, "\r\n"...)
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Kind != message.Trailer { // handlers get no trailers, and fasthttp rejects some announcements
			b = append(b, f.Line...)
		}
	}
	c.head = append(b, "\r\n"...)
	if len(c.head) > c.reader.Size() {
		c.reader = bufio.NewReaderSize(&c.from, len(c.head)) // fasthttp needs the whole head in the buffer
	}
	c.from.Reset(c.head)
	c.reader.Reset(&c.from)
	c.ctx.Response.Header.SetNoDefaultContentType(true)
	return c.ctx.Request.Header.Read(c.reader)
}

// unfit returns why the response cannot be sent, if so.
func (c *requestContext) unfit(r *fasthttp.Response) error {
	switch status := r.StatusCode(); {
	case c.ctx.Hijacked():
		return errHijacked
	case status < 200 || status > 999:
		return errNotFinal
	}
	return nil
}

// mayHaveBody reports whether a response with that status to GET has a body.
func mayHaveBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// fields returns the fields of the response, whose body has that length; a length below 0 is not known.
func (c *requestContext) fields(from *fasthttp.Response, length int64) []message.Field {
	r, status := &c.own, from.StatusCode()
	r.Reset(status)
	for name, value := range from.Header.All() {
		switch kind := message.KindOf(name); {
		case kind.HopByHop(), kind == message.ContentLengthField, kind == message.Date, kind == message.XRequestID, kind == message.Trailer:
		case message.IsToken(name) && message.IsFieldValue(value):
			r.AddBytes(message.NewName(string(name)), value)
		}
	}
	if length >= 0 && mayHaveBody(status) { // to 304 it would be that of another response (RFC 9110 section 8.6)
		r.SetLength(length)
	}
	return r.Fields
}

// release makes c ready for another request.
func (c *requestContext) release() {
	c.ctx.Request.Reset()
	c.ctx.Response.Reset()
	c.ctx.ResetUserValues()
	c.own.Reset(0)
	contexts.Put(c)
}
