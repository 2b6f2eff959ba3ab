package exchange

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

// startRelay begins to pass the backend's response on. The head does not wait for the body, but goes along with what has come of it.
func (x *Exchange) startRelay() {
	x.phase = phaseRelay
	x.spools = x.forward.buffersResponse(x)
	piece, err := x.conn.ReadBody()
	if err != nil && err != io.EOF && err != netloop.ErrWouldBlock {
		x.broken(err)
		return
	}
	last := err == io.EOF
	if last && len(x.conn.Trailer()) > 0 { // they go with a piece of their own
		last = false
	}
	x.relayHead()
	x.blocked = !x.client.Respond(&x.response, piece, false, last)
	if last {
		x.relayed()
		return
	}
	x.relay()
}

// clientFlushed goes on when the client has taken all that was sent.
func (x *Exchange) clientFlushed() {
	x.blocked = false
	x.relay()
}

// relay passes on what has come of the body, until one of the two sides has to be waited for.
func (x *Exchange) relay() {
	if x.spool != nil {
		x.relaySpool()
		return
	}
	for !x.blocked || x.spools {
		if x.conn == nil {
			return
		}
		piece, err := x.conn.ReadBody()
		switch {
		case err == netloop.ErrWouldBlock:
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
		x.blocked = !x.client.Send(piece, last, trailers)
		if last {
			x.relayed()
			return
		}
	}
	x.awaitBody()
}

// awaitBody bounds the wait for the backend: not while the client is waited for.
func (x *Exchange) awaitBody() {
	if x.conn == nil || x.blocked && x.spool == nil && (x.uploaded || x.flushed) {
		x.wait(0)
		return
	}
	x.wait(x.timeouts().Idle)
}

// relayTimeout is called when the backend has made no progress for too long.
func (x *Exchange) relayTimeout() { x.broken(x.conn.TimedOut(transport.Body)) }

// relayed ends the exchange with the backend when all of its response is on its way to the client.
func (x *Exchange) relayed() {
	x.finishBackend(pool.Success)
	if !x.blocked {
		x.end()
		return
	}
	x.phase = phaseFlush
	x.wait(0)
}

// finishBackend gives the backend and its connection back.
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

// broken ends a response whose body the backend did not finish. If its head has not been sent, it
// is not: the client gets an error of ours instead.
func (x *Exchange) broken(err error) {
	outcome := outcomeOf(err)
	x.finishBackend(outcome)
	if !x.client.Begun() {
		x.Extra = x.Extra[:0]
		x.refuseFailed(err, err.(*transport.Error), outcome)
		return
	}
	x.cut("the backend did not finish its answer: " + err.Error())
}

// relayHead makes the head of a response that is passed on.
func (x *Exchange) relayHead() {
	in, r := &x.conn.Head.Response, &x.response
	x.status = in.Status
	r.Reset(in.Status)
	r.Reason, r.Length = in.Reason, in.Length
	if dated := x.addOriginFields(in); !dated { // RFC 9110 section 6.6.1
		r.Fields = append(r.Fields, dateAt(x.worker.Loop.Now()))
	}
	x.filterResponse(relayedKind(in))
	r.Fields = append(r.Fields, x.Extra...)
	if in.Status == http.StatusUpgradeRequired { // which must have one (RFC 9110 section 15.5.22)
		x.addUpgrade(in)
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

// addOriginFields adds the backend's fields that go on to the client, in their order. It reports whether
// Date is among them.
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

// buffersResponse reports whether the response is to be taken ahead of the client. Events that a slow client has not read
// had better stay with the backend.
func (f *Forward) buffersResponse(x *Exchange) bool {
	if f.Buffer.Response <= 0 {
		return false
	}
	for i := range x.conn.Head.Fields {
		if field := &x.conn.Head.Fields[i]; message.EqualFold(field.Name, "content-type") {
			media, _, _ := bytes.Cut(field.Value, []byte{';'})
			return !message.EqualFold(message.TrimSpace(media), "text/event-stream")
		}
	}
	return true
}
