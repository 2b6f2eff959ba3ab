package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"

	"github.com/valyala/fasthttp"

	"lb/filter"
	"lb/netloop"
	"lb/route"
)

// Handle is an action written for fasthttp, such as a form, a status page or an extension.
//
// Handler runs in a goroutine of its own and may block. It gets the request as parsed by fasthttp, without trailers. ctx.RemoteAddr is the
// client's address, and ctx.Host and ctx.Path are those by which the route was found. The response is what it leaves in ctx.Response. A body stream is read only as fast as the client takes it. Handler cannot
// set Date, X-Request-Id, Connection, Content-Length, Transfer-Encoding or trailers, and cannot hijack the connection, which
// results in 500. The server behind ctx has no meaning; use Context rather than ctx to learn of a disconnect.
//
// The exchange ends only when Handler has returned and its body stream has been read, and a shutdown waits for that, even
// beyond its grace. A panic results in 500, or cuts a response that has begun. fasthttp runs the function of SetBodyStreamWriter in another
// goroutine, where a panic ends the process.
type Handle struct {
	Handler fasthttp.RequestHandler
	// MaxBody is the maximum size of a request's body in bytes; a larger one results in 413. 0: fasthttp.DefaultMaxRequestBodySize,
	// 4 MiB. The listener's limit applies too.
	MaxBody int64
	// Stream has Handler called as soon as the request head has been received, with the body in ctx.RequestBodyStream. Reading fails
	// if the body is too large, too slow, malformed or incomplete; the response is then 413, 408 or 400 whatever Handler leaves,
	// unless it has begun. Handler must not use ctx.PostBody or ctx.PostArgs, which return such an error as if it were the body.
	//
	// Without Stream, Handler is called when the whole body is in memory, and ctx.RequestBodyStream is nil.
	Stream bool
}

// Serve implements Action.
func (a *Handle) Serve(x *Exchange) {
	h := newHandling(a, x)
	x.handling = h
	switch {
	case x.client.BodyTooLarge() || x.Request.Length > h.most:
		x.refuse(filter.LargeBody)
	case a.Stream || x.Request.Length == 0:
		x.startHandler()
	default:
		x.phase = phaseReceive
		x.wait(0) // Read fails when the client is too slow
		x.receive()
	}
}

// receive reads what has been received of the body for a handler.
func (x *Exchange) receive() {
	h := x.handling
	for {
		piece, err := x.client.Read()
		if err == netloop.ErrWouldBlock {
			return
		}
		if err == nil || err == io.EOF {
			err = h.take(piece, err)
		}
		switch err {
		case nil:
		case io.EOF:
			x.startHandler()
			return
		default:
			x.refuseBody(err)
			return
		}
	}
}

// startHandler calls the handler.
func (x *Exchange) startHandler() {
	h := x.handling
	c := contexts.Get().(*requestContext)
	h.context = c
	c.ctx.Init(&c.none, x.remote(), nil)
	if err := c.fill(x.Request); err != nil {
		x.failHandler(err)
		return
	}
	request := &c.ctx.Request
	x.setURI(request.URI())
	if h.action.Stream {
		request.SetBodyStream((*requestStream)(h), int(x.Request.Length))
	} else {
		request.SetBodyRaw(h.body)
	}
	x.phase = phaseHandler
	x.startWork(h.run)
}

// setURI gives a handler the host and the path by which its route was found. Of "//a/://b", for example, fasthttp would take the host to be a.
func (x *Exchange) setURI(u *fasthttp.URI) {
	if u.SetScheme("http"); x.in.Secure {
		u.SetScheme("https")
	}
	u.SetHostBytes(x.Request.Authority)
	u.SetPathBytes(route.AppendEscaped(nil, x.clean))
	u.SetQueryStringBytes(bytes.TrimPrefix(x.query, []byte{'?'}))
}

// remote returns the client's address; nil on a unix socket. The port is 0 if the client is behind a trusted proxy.
func (x *Exchange) remote() net.Addr {
	if !x.clientIP.IsValid() {
		return nil
	}
	port := x.in.Peer.Port()
	if x.clientIP != x.in.Peer.Addr().Unmap() {
		port = 0
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(x.clientIP, port))
}

// serveHandler does what the handler's goroutine waits for, if that is possible without blocking.
func (x *Exchange) serveHandler() {
	x.handling.feed()
	x.handling.pass()
}

// handlerFlushed continues when everything sent has been written to the client's socket.
func (x *Exchange) handlerFlushed() {
	x.blocked = false
	x.serveHandler()
}

// handlerDisconnected notifies the handler of the disconnect.
func (x *Exchange) handlerDisconnected() {
	x.background.cancel()
	x.handling.release(x.disconnected)
}

// handled continues when the handler's goroutine has ended.
func (x *Exchange) handled() {
	h, e := x.handling, x.finishWork()
	h.release(errHandlerEnded)
	begun := x.client.Begun()
	switch {
	case x.disconnected != nil:
		x.abandon()
	case begun && e.panicked != nil:
		x.cut(fmt.Sprint("the handler has panicked: ", e.panicked.value))
	case begun && h.cut != nil:
		x.cut("the handler did not finish its response: " + h.cut.Error())
	case begun:
		x.finish(!x.blocked)
	case e.panicked != nil:
		x.failPanicked(e.panicked)
	case h.failed != nil:
		x.refuseBody(h.failed)
	default:
		x.respondHandled(h.context, h.result(), true)
	}
}

var (
	errHijacked = errors.New("it has hijacked the connection, which is not supported; use a body stream")
	errNotFinal = errors.New("its status is not between 200 and 999")
)

// respondHandled sends a handler's response whose body is in memory. stable says that r does not change until the exchange ends.
func (x *Exchange) respondHandled(c *requestContext, r *fasthttp.Response, stable bool) {
	if err := c.unfit(r); err != nil {
		x.failHandler(err)
		return
	}
	x.client.DropArrived()
	body := r.Body()
	length := int64(len(body))
	if n := int64(r.Header.ContentLength()); x.Head() && (length == 0 || r.SkipBody) && n != 0 {
		length = n // of the response to GET, whose body the handler has not made
	}
	x.handledHead(c, r, length)
	if x.Head() || !mayHaveBody(x.status) {
		body = nil
	}
	x.respondWhole(body, stable)
}

// handledHead makes the head of a handler's response. length is that of its body; -1: unknown.
func (x *Exchange) handledHead(c *requestContext, r *fasthttp.Response, length int64) {
	if r.ConnectionClose() {
		x.client.Close()
	}
	status := r.StatusCode()
	if !mayHaveBody(status) {
		length = 0
	}
	x.makeHead(status, c.fields(r, length), length, filter.Usual)
}

// failHandler responds for a handler that failed.
func (x *Exchange) failHandler(err error) {
	x.Fail(http.StatusInternalServerError, "the handler failed", err)
}
