package proxy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"lb/internal/poison"
	"lb/netloop"
)

// handling is one call of a Handle, shared by its goroutine and the loop. To read from the client or to send to it, the goroutine posts a
// task to the loop and waits. A handling is not reused, since goroutines that a handler has left running may still use it.
type handling struct {
	action *Handle
	loop   *netloop.Loop
	most   int64 // maximum size of the request's body

	// Used by the loop only.
	x        *Exchange // nil: it has ended
	received int64     // bytes of the body
	feeds    bool      // Read waits
	passes   bool      // send waits
	failed   error     // why the body could not be read

	body    []byte // the whole body; with Stream, the last piece, which Read uses until it asks for the next
	arrived chan error
	piece   []byte // what send sends
	last    bool
	length  int64 // of the response's body; below 0: unknown
	sent    chan error

	// Used by the goroutine only, until it ends.
	context *requestContext // nil: none yet
	rest    []byte          // of body
	ended   error           // what Read returns after rest
	cut     error           // why the response is incomplete
	toHead  bool
}

var (
	errBodyLarge    = errors.New("the request body is larger than the handler takes")
	errHandlerEnded = errors.New("the exchange of the handler has ended")
)

func newHandling(a *Handle, x *Exchange) *handling {
	h := &handling{action: a, x: x, loop: x.worker.Loop, most: a.MaxBody, toHead: x.Head(), arrived: make(chan error, 1), sent: make(chan error, 1)}
	h.most = cmp.Or(h.most, fasthttp.DefaultMaxRequestBodySize)
	if x.Request.Length == 0 {
		h.ended = io.EOF
	}
	return h
}

// firstBody is the maximum that is allocated for a body before it has been received.
const firstBody = 64 << 10

// take appends a piece to the body. It returns err, or errBodyLarge.
func (h *handling) take(piece []byte, err error) error {
	if h.received += int64(len(piece)); h.received > h.most {
		return errBodyLarge
	}
	if h.body == nil {
		h.body = make([]byte, 0, min(max(h.x.Request.Length, int64(len(piece))), firstBody))
	}
	h.body = append(h.body, piece...)
	return err
}

// end releases everything. Later calls fail.
func (h *handling) end() {
	h.release(errHandlerEnded)
	h.x = nil
	// A handler that timed out may still use its context, and one that was hijacked cannot be reset.
	if c := h.context; c != nil && c.ctx.LastTimeoutErrorResponse() == nil && !c.ctx.Hijacked() {
		c.release()
	}
	h.context = nil
}

// release makes the waiting calls fail.
func (h *handling) release(err error) {
	if h.feeds {
		h.feeds = false
		h.arrived <- err
	}
	if h.passes {
		h.passes = false
		h.sent <- err
	}
}

// Tasks of the loop.
type (
	feedTask handling
	passTask handling
)

func (t *feedTask) Run() {
	h := (*handling)(t)
	h.feeds = true
	h.called()
}

func (t *passTask) Run() {
	h := (*handling)(t)
	h.passes = true
	h.called()
}

// called has the exchange serve h, if it has not ended.
func (h *handling) called() {
	if x := h.x; x != nil && x.phase == phaseHandler && x.disconnected == nil {
		x.take(eventCalled)
		return
	}
	h.release(errHandlerEnded)
}

// feed passes what has been received of the request's body to Read.
func (h *handling) feed() {
	if !h.feeds {
		return
	}
	piece, err := h.x.client.Read()
	if err == netloop.ErrWouldBlock {
		return
	}
	h.body = h.body[:0]
	if err == nil || err == io.EOF {
		err = h.take(piece, err)
	}
	if err != nil && err != io.EOF {
		h.failed = err
	}
	h.feeds = false
	h.arrived <- err
}

// pass sends the piece of send to the client, unless an earlier one is still being written.
func (h *handling) pass() {
	x := h.x
	if !h.passes || x.blocked {
		return
	}
	if !x.client.Begun() {
		x.handledHead(h.context, h.result(), h.length)
		x.blocked = !x.client.Respond(&x.response, nil, false, false)
	} else {
		if h.last {
			x.giveBack()
		}
		x.blocked = !x.client.Send(h.piece, h.last, nil)
	}
	h.passes = false
	h.sent <- nil
}

// run calls the handler, and sends its body stream if it has one.
func (h *handling) run(ctx context.Context) {
	h.context.ctx.SetUserValue(contextKey{}, ctx)
	h.action.Handler(&h.context.ctx)
	r := h.result()
	if !r.IsBodyStream() {
		return
	}
	defer func() { _ = r.CloseBodyStream() }() // makes the writes of a SetBodyStreamWriter fail
	if ctx.Err() == nil && !h.toHead && mayHaveBody(r.StatusCode()) && h.context.unfit(r) == nil {
		h.cut = h.stream(ctx, r)
	}
}

// result returns the handler's response.
func (h *handling) result() *fasthttp.Response {
	if r := h.context.ctx.LastTimeoutErrorResponse(); r != nil {
		return r
	}
	return &h.context.ctx.Response
}

// stream sends the body stream of the response.
func (h *handling) stream(ctx context.Context, r *fasthttp.Response) error {
	body := r.BodyStream()
	if d, ok := body.(interface{ SetReadDeadline(time.Time) error }); ok { // that of SetBodyStreamWriter has one
		defer context.AfterFunc(ctx, func() { _ = d.SetReadDeadline(time.Unix(1, 0)) })()
	}
	h.length = int64(r.Header.ContentLength())
	if err := h.send(nil, false); err != nil {
		return err
	}
	block := spoolBlocks.Get().(*[]byte)
	defer func() {
		poison.Fill(*block)
		spoolBlocks.Put(block)
	}()
	for left := h.length; ; {
		room := *block
		if left >= 0 {
			room = room[:min(left, int64(len(room)))]
		}
		n, err := 0, io.EOF
		if len(room) > 0 {
			n, err = body.Read(room)
		}
		if left >= 0 {
			if left -= int64(n); left == 0 {
				err = io.EOF
			} else if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if err != nil && err != io.EOF {
			return err
		}
		if failed := h.send(room[:n], err == io.EOF); failed != nil || err == io.EOF {
			return failed
		}
	}
}

// send sends a piece of the response, the head the first time, and waits for the loop to do so.
func (h *handling) send(piece []byte, last bool) error {
	h.piece, h.last = piece, last
	if !h.loop.Post((*passTask)(h)) {
		return errHandlerEnded
	}
	return <-h.sent
}

// requestStream is a handling as the body stream of its request.
type requestStream handling

// Read reads the body, and blocks until there is more. It fails when the body cannot be read or the client disconnects.
func (s *requestStream) Read(p []byte) (int, error) {
	h := (*handling)(s)
	for len(h.rest) == 0 {
		if h.ended != nil || len(p) == 0 {
			return 0, h.ended
		}
		if !h.loop.Post((*feedTask)(h)) {
			return 0, errHandlerEnded
		}
		h.ended = <-h.arrived
		if h.ended == nil || h.ended == io.EOF {
			h.rest = h.body
		}
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}
