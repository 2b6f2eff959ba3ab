package exchange

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/message"
)

// Handle is an action that is written for fasthttp: a redirect, a form, a status page, an extension.
//
// It gets the request as fasthttp's own parser reads it, with the client's address and the body as a stream, and what it leaves in
// ctx.Response is the response: Date, the request id and what frames it are not its to set. Hijacking and the server behind
// ctx mean nothing. It must not keep ctx.
type Handle fasthttp.RequestHandler

// Serve implements Action.
func (h Handle) Serve(x *Exchange) {
	c := contexts.Get().(*requestContext)
	defer c.release()
	var remote net.Addr
	if x.clientIP.IsValid() {
		remote = net.TCPAddrFromAddrPort(x.in.Peer)
	}
	if err := c.fill(x.Request, nil, remote); err != nil {
		x.Fail(http.StatusInternalServerError, "the request could not be handed over", err)
		return
	}
	h(&c.ctx)
	response := &c.ctx.Response
	if response.ConnectionClose() {
		x.client.Close()
	}
	status, length := response.StatusCode(), int64(0)
	var body []byte
	if mayHaveBody(status) {
		body = response.Body()
		length = int64(len(body))
	}
	x.ownHead(status, c.fields(status, length), length, filter.Usual)
	if x.Head() {
		body = nil
	}
	x.finish(x.client.Respond(&x.response, body, false, true)) // not stable: the context is for others then
}

// mayHaveBody reports whether a response with that status to GET has a body.
func mayHaveBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// requestContext is a fasthttp.RequestCtx with what fills it.
type requestContext struct {
	ctx    fasthttp.RequestCtx
	head   []byte // as the client could have sent it
	from   bytes.Reader
	reader *bufio.Reader
	own    message.Response // whose fields are those of the response
}

var contexts = sync.Pool{New: func() any {
	c := &requestContext{}
	c.ctx.Init(&fasthttp.Request{}, nil, nil)
	c.reader = bufio.NewReaderSize(&c.from, contextHead)
	return c
}}

// contextHead is the bytes of a head for which a context has room at first.
const contextHead = 4 << 10

// fill reads the request into c.ctx.
func (c *requestContext) fill(r *message.Request, body io.Reader, remote net.Addr) error {
	b := append(append(c.head[:0], r.Method...), ' ')
	b = append(append(append(b, r.Target...), ' '), r.Version...)
	b = append(b, "\r\n"...)
	for i := range r.Fields {
		b = append(b, r.Fields[i].Line...)
	}
	c.head = append(b, "\r\n"...)
	if len(c.head) > c.reader.Size() {
		c.reader = bufio.NewReaderSize(&c.from, len(c.head)) // fasthttp wants a head in one piece
	}
	c.from.Reset(c.head)
	c.reader.Reset(&c.from)
	request := &c.ctx.Request
	if err := request.Header.Read(c.reader); err != nil {
		return err
	}
	if body != nil {
		request.SetBodyStream(body, int(r.Length))
	}
	c.ctx.SetRemoteAddr(remote)
	c.ctx.Response.Header.SetNoDefaultContentType(true)
	return nil
}

// fields returns the fields of the response in c.ctx, whose body has that length.
func (c *requestContext) fields(status int, length int64) []message.Field {
	r := &c.own
	r.Reset(status)
	for name, value := range c.ctx.Response.Header.All() {
		switch kind := message.KindOf(name); {
		case kind.HopByHop(), kind == message.ContentLengthField, kind == message.Date, kind == message.XRequestID, kind == message.Trailer:
		case message.IsToken(name) && message.IsFieldValue(value):
			r.AddBytes(message.NewName(string(name)), value)
		}
	}
	if length >= 0 && status >= 200 && status != http.StatusNoContent {
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
