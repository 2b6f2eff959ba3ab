package proxy

import (
	"bytes"
	"io"
	"net/http"

	"lb/filter"
	"lb/message"
	"lb/netloop"
	"lb/pool"
	"lb/transport"
)

// startRelay starts to forward the backend's response. The head is sent together with what has been received of the body.
func (x *Exchange) startRelay() {
	x.phase = phaseRelay
	x.spools = x.forward.buffersResponse(x)
	piece, err := x.responsePiece()
	if err != nil && err != io.EOF && err != netloop.ErrWouldBlock {
		x.broken(err)
		return
	}
	last := err == io.EOF
	if last && len(x.conn.Trailer()) > 0 { // they are sent with a later piece
		last = false
	}
	x.relayHead()
	if last {
		x.giveBack()
	}
	if x.encoder != nil {
		x.blocked = !x.respondEncoded(piece, last)
	} else {
		x.blocked = !x.client.Respond(&x.response, piece, false, last)
	}
	if last {
		x.relayed()
		return
	}
	x.relay()
}

// piecesAtOnce is how many pieces of a body are forwarded before other connections get their turn.
const piecesAtOnce = 16

// clientFlushed continues when everything has been written to the client's socket.
func (x *Exchange) clientFlushed() {
	x.blocked = false
	x.relay()
}

// relay forwards what has been received of the body, until it has to wait for the client or the backend.
func (x *Exchange) relay() {
	if x.spool != nil {
		x.relaySpool()
		return
	}
	switch c := x.caching; {
	case c == nil:
	case c.encoding != nil:
		x.encodeWhole()
		return
	case c.ahead != nil:
		x.relayRecorded()
		return
	}
	for pieces := 0; !x.blocked || x.spools || x.records(); pieces++ {
		if x.conn == nil {
			return
		}
		if x.blocked && x.records() {
			x.startRecorded()
			return
		}
		if pieces == x.piecesAtOnce() {
			x.worker.Loop.Later((*responseTask)(x))
			break
		}
		piece, err := x.responsePiece()
		switch {
		case err == netloop.ErrWouldBlock:
			if x.encoder != nil {
				x.paused()
			}
			x.awaitBody()
			return
		case err != nil && err != io.EOF:
			x.broken(err)
			return
		}
		last := err == io.EOF
		if x.blocked {
			x.startSpool(piece, last)
			return
		}
		var trailers []message.Field
		if last {
			trailers = x.conn.Trailer()
		}
		x.blocked = !x.send(piece, last, trailers)
		if last {
			x.relayed()
			return
		}
	}
	x.awaitBody()
}

// responsePiece reads the next piece of the response's body, as transport.Conn.ReadBody does, and has the cache take it.
func (x *Exchange) responsePiece() ([]byte, error) {
	piece, err := x.conn.ReadBody()
	if err == io.EOF {
		x.noteCall(x.conn.Trailer())
	}
	if x.caching != nil && (err == nil || err == io.EOF) {
		x.cachePiece(piece, err == io.EOF)
	}
	return piece, err
}

// awaitBody sets the timeout for the backend, except while waiting for the client.
func (x *Exchange) awaitBody() {
	if x.conn == nil || x.blocked && x.spool == nil && !x.records() && (x.uploaded || x.flushed) {
		x.wait(0)
		return
	}
	idle := x.timeouts().Idle
	if x.awaitsFlush() && (idle == 0 || idle > flushPause) {
		idle = flushPause
	}
	x.wait(idle)
}

// relayTimeout handles a timeout of the backend in the middle of the response, and the end of flushPause.
func (x *Exchange) relayTimeout() {
	if x.awaitsFlush() {
		x.flushEncoder()
		x.awaitBody()
		return
	}
	x.broken(x.conn.TimedOut(transport.Body))
}

// relayed releases the backend when its whole response has been passed to the client's connection.
func (x *Exchange) relayed() {
	x.finishBackend(pool.Success)
	if !x.blocked {
		x.end()
		return
	}
	x.phase = phaseFlush
	x.wait(0)
}

// finishBackend releases the backend and its connection.
func (x *Exchange) finishBackend(outcome pool.Outcome) {
	if x.backend == nil {
		return
	}
	if !x.uploaded && x.body.announced && !x.body.whole {
		x.client.Close()
	}
	x.releaseConn(outcome == pool.Success && (x.uploaded || !x.body.announced))
	if outcome == pool.Success && isFailure(x.status) {
		outcome = pool.Status
	}
	x.backend.Report(outcome)
	x.releaseBackend()
}

// broken ends a response that the backend did not finish. If its head has not been sent yet, the client gets an error response
// instead.
func (x *Exchange) broken(err error) {
	outcome := outcomeOf(err)
	if failure, ok := err.(*transport.Error); ok && x.expired(failure) {
		outcome = pool.Aborted
	}
	x.finishBackend(outcome)
	if !x.client.Begun() {
		x.Extra = x.Extra[:0]
		x.refuseFailed(err, err.(*transport.Error), outcome)
		return
	}
	x.cut("the backend did not finish its response: " + err.Error())
}

// relayHead makes the head of a forwarded response.
func (x *Exchange) relayHead() {
	in, r := x.conn.Head(), &x.response
	x.status = in.Status
	x.noteCall(in.Fields)
	r.Reset(in.Status)
	r.Reason, r.Length = in.Reason, in.Length
	if dated := x.addOriginFields(in); !dated { // RFC 9110 section 6.6.1
		r.Fields = append(r.Fields, dateAt(x.worker.Loop.Now()))
	}
	if x.caching != nil {
		x.addCacheStatus()
	}
	x.filterResponse(relayedKind(in))
	r.Fields = append(r.Fields, x.Extra...)
	if in.Status == http.StatusUpgradeRequired { // it must have an Upgrade field (RFC 9110 section 15.5.22)
		x.addUpgrade(in)
	}
	if c := x.route.Compress; c != nil {
		x.encoder = c.Begin(x, r)
	}
	r.AddBytes(message.NameXRequestID, x.id)
}

// relayedKind returns the kind of a backend's response.
func relayedKind(in *message.Response) filter.Kind {
	if in.Status == http.StatusPartialContent {
		const multipart = "multipart/byteranges"
		for i := range in.Fields {
			f := &in.Fields[i]
			if message.EqualFold(f.Name, "content-type") && len(f.Value) > len(multipart) && message.EqualFold(f.Value[:len(multipart)], multipart) {
				return filter.Typed
			}
		}
	}
	return filter.Usual
}

// addOriginFields adds the backend's fields that are forwarded to the client, in their order. It reports whether Date is among
// them.
func (x *Exchange) addOriginFields(in *message.Response) (dated bool) {
	r := &x.response
	for i := range in.Fields {
		f := &in.Fields[i]
		switch f.Kind {
		case message.XRequestID:
			continue
		case message.ContentLengthField:
			if in.Status < 200 || in.Status == http.StatusNoContent {
				continue
			}
		}
		if f.Hop {
			continue
		}
		dated = dated || f.Kind == message.Date
		r.Fields = append(r.Fields, *f)
	}
	return dated
}

// buffersResponse reports whether the response is read ahead of the client. An event stream is not: a slow client should slow down
// its source.
func (f *Forward) buffersResponse(x *Exchange) bool {
	return f.Buffer.Response > 0 && !x.isEventStream()
}

// isEventStream reports whether the backend's response is an event stream.
func (x *Exchange) isEventStream() bool {
	for i := range x.conn.Head().Fields {
		if field := &x.conn.Head().Fields[i]; message.EqualFold(field.Name, "content-type") {
			media, _, _ := bytes.Cut(field.Value, []byte{';'})
			return message.EqualFold(message.TrimSpace(media), "text/event-stream")
		}
	}
	return false
}
