package proxy

import (
	"io"
	"net/http"
	"time"

	"lb/filter"
	"lb/message"
	"lb/pool"
	"lb/transport"
)

// outcomeResting says that the request rests.
const outcomeResting = ^pool.Outcome(0)

// relay passes a response on as it comes; see Forward.relayed.
func (x *Exchange) relay(conn *transport.Conn, up *upload) pool.Outcome {
	x.relayHead(conn)
	return x.relayBody(conn, up)
}

// relayHead begins the response with the head of the backend's.
func (x *Exchange) relayHead(conn *transport.Conn) {
	in, r := conn.Response(), &x.response
	x.status = in.Status
	r.Reset(in.Status)
	r.Reason, r.Length = in.Reason, in.Length
	if dated := x.addOriginFields(in); !dated { // RFC 9110 section 6.6.1
		r.Fields = append(r.Fields, dateAt(time.Now()))
	}
	x.filterResponse(relayedKind(in))
	r.Fields = append(r.Fields, x.Extra...)
	if in.Status == http.StatusUpgradeRequired { // which must have one (RFC 9110 section 15.5.22)
		x.addUpgrade(in)
	}
	x.respond()
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

// pass sends a part of a relayed response, the last one if so told. Where that returns false, outcome is that of the response.
func (x *Exchange) pass(up *upload, piece []byte, last bool, trailers []message.Field) (outcome pool.Outcome, ok bool) {
	var err error
	switch {
	case up.ended():
		err = x.send(piece, last, trailers)
	case last: // the body of the request is still on its way
		_, err = x.client.Finish(piece, trailers, 0)
		err = x.sent(err)
	default:
		err = x.More(piece)
	}
	switch err {
	case nil:
		return pool.Success, true
	case errResting:
		return outcomeResting, false
	}
	return pool.Aborted, false
}

// giveBack ends the exchange with the backend. It comes before the last bytes go to the client, if these
// have been copied, so that the client's next request finds the connection free.
func (x *Exchange) giveBack(conn *transport.Conn, up *upload, success bool) {
	x.givenBack = true
	up.stop(x)
	x.release(conn, success && up.ended() && !x.body.withheld())
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

// joinLimit is the most of a body's end that is copied, so that the backend can be given back before it is sent.
const joinLimit = 4 << 10

// relayBody sends what has not been sent of the response, each piece as soon as it has come. The head does not wait for
// the body, but goes along with what has come of it.
func (x *Exchange) relayBody(conn *transport.Conn, up *upload) pool.Outcome {
	if !conn.Buffered() {
		if outcome, ok := x.pass(up, nil, false, nil); !ok {
			return outcome
		}
	}
	for {
		piece, err := conn.ReadBody()
		if err != nil && err != io.EOF {
			return x.broken(err)
		}
		last := err == io.EOF
		var trailers []message.Field
		if last {
			trailers = conn.Trailers()
		}
		if last && len(piece) <= joinLimit {
			x.client.Append(piece, trailers)
			x.giveBack(conn, up, true)
			piece, trailers = nil, nil
		}
		if outcome, ok := x.pass(up, piece, last, trailers); !ok {
			return outcome
		}
		if last {
			return pool.Success
		}
	}
}

// broken ends a response whose body the backend did not finish. If its head has not been sent, it
// is not: the client gets an error of ours instead.
func (x *Exchange) broken(err error) pool.Outcome {
	if x.departure.happened() {
		x.cut(errClientLeft.Error())
		return pool.Aborted
	}
	outcome := outcomeOf(err)
	if !x.client.Responded() {
		x.Extra = x.Extra[:0]
		x.refuseFailed(err, outcome)
		return outcome
	}
	x.cut("the backend did not finish its answer: " + err.Error())
	return outcome
}
