package front

import (
	"fmt"
	"math"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"github.com/valyala/fasthttp"
)

// servers are fasthttp's loops for connections with one limit of a head. A connection is in the usual one, whose
// buffer is small, until a head comes that needs more; see Conn.serve.
type servers struct {
	usual, large *fasthttp.Server
}

// usualHead is the bytes of a head, and of what comes with it, that each connection with a request has room for.
const usualHead = 4 << 10

func (f *Front) newServers(headerSize int) *servers {
	s := &servers{large: f.newServer(headerSize)}
	if s.usual = s.large; headerSize > usualHead {
		s.usual = f.newServer(usualHead)
	}
	return s
}

// newServer makes a server for heads of that many bytes. It never listens, never writes for real (see Conn), has no
// timeouts (Conn has) and never sees a body: fasthttp would wait for 8 KiB of it before it calls the handler.
func (f *Front) newServer(headerSize int) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:                      f.handle,
		ErrorHandler:                 parseFailed,
		HeaderReceived:               hideBody,
		Concurrency:                  math.MaxInt32, // the gate is our own
		ReadBufferSize:               headerSize,
		WriteBufferSize:              64, // for what Conn.Write drops
		MaxRequestBodySize:           math.MaxInt,
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		NoDefaultDate:                true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
		Logger:                       fasthttpLog{f.log},
	}
}

// hideBody keeps fasthttp from reading a body; handle puts our own reader in its place.
func hideBody(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() != 0 {
		h.SetContentLength(-2)
	}
	return fasthttp.RequestConfig{}
}

// handle runs between fasthttp's loop and the handler.
func (f *Front) handle(ctx *fasthttp.RequestCtx) {
	c := ctx.Conn().(*Conn)
	if !c.headRead { // fasthttp has found a request that Conn did not check
		c.Abort()
		ctx.SetConnectionClose()
		return
	}
	c.headRead = false
	if h := &c.head; h.HasBody() {
		ctx.Request.SetBodyStream(&c.body, bodySize(h.ContentLength, h.Chunked))
	}
	defer f.settle(ctx, c)
	(*f.handler.Load())(ctx)
}

func bodySize(length int64, chunked bool) int {
	if chunked || length > math.MaxInt {
		return -1
	}
	return int(length)
}

// settle ends a request, if it is not suspended: it makes up for a handler that panicked or did not answer. ctx is nil
// where fasthttp has nothing to do with it any more.
func (f *Front) settle(ctx *fasthttp.RequestCtx, c *Conn) {
	if r := recover(); r != nil {
		c.suspended, c.next = nil, toEnd
		f.metrics.panics.Inc()
		f.log.Error("handler panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		f.giveUp(ctx, c)
	} else if c.suspended != nil {
		return
	} else if !c.Answered() {
		f.log.Error("handler did not answer")
		f.giveUp(ctx, c)
	}
	if ctx != nil && (ctx.Response.ConnectionClose() || ctx.Request.Header.ConnectionClose()) {
		c.ended = true
	}
	if !c.ended {
		return
	}
	c.linger = c.linger || c.body.pending()
	if ctx != nil {
		ctx.SetConnectionClose()
	}
}

// EndAfter has the connection end with the answer to the present request.
func (c *Conn) EndAfter() { c.ended = true }

// giveUp answers 500 if that can still be said, else breaks the answer off.
func (f *Front) giveUp(ctx *fasthttp.RequestCtx, c *Conn) {
	if c.Answered() {
		c.Abort()
	} else {
		w := wishes{noBody: c.noBody}
		if ctx != nil {
			w = wishesOf(ctx)
		}
		c.refuse(failed, w)
	}
}

// wishesOf returns the wishes of a request that has passed.
func wishesOf(ctx *fasthttp.RequestCtx) wishes {
	w := skim(ctx.Request.Header.RawHeaders())
	w.noBody = ctx.IsHead()
	return w
}

// parseFailed answers what fasthttp refuses and our own check let pass.
func parseFailed(ctx *fasthttp.RequestCtx, err error) {
	c := ctx.Conn().(*Conn)
	if !c.ended {
		c.refuse(notUnderstood, wishesOf(ctx))
	}
}

// fasthttpLog writes fasthttp's own lines at debug level.
type fasthttpLog struct{ hclog.Logger }

func (l fasthttpLog) Printf(format string, args ...any) {
	if l.IsDebug() {
		l.Debug("fasthttp: " + fmt.Sprintf(format, args...))
	}
}
