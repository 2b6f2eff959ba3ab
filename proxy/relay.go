package proxy

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"lb/internal/wire"
	"lb/pool"
	"lb/route"
	"lb/transport"
)

// outcomeResting says that the request rests.
const outcomeResting = ^pool.Outcome(0)

// chunks reports whether the client gets the answer in chunks.
func (x *Exchange) chunks(conn *transport.Conn) bool { return conn.Length() < 0 && !x.http10 }

// relay passes a response on as it comes; see Forward.relayed.
func (x *Exchange) relay(conn *transport.Conn, up *upload) pool.Outcome {
	x.relayHead(conn)
	return x.relayBody(conn, up, x.chunks(conn))
}

// relayHead makes the head of a response that is passed on, in x.res.
func (x *Exchange) relayHead(conn *transport.Conn) {
	x.status = conn.Head.Status
	length := conn.Length()
	chunked := x.chunks(conn)
	rules := x.relayRules(&conn.Head)
	b := appendOriginLine(x.res[:0], &conn.Head)
	b, dated := x.originFields(conn, b, rules)
	if !dated && !rules.Drops(&dateField) {
		b = appendDate(b, time.Now())
	}
	b = append(b, x.Extra...)
	if x.status == http.StatusUpgradeRequired {
		b = x.offerUpgrade(b, conn.Head.Fields)
	}
	switch {
	case chunked, x.Head() && conn.Head.Chunked && !x.http10:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case length < 0:
		x.close = true // only the end of the connection tells an HTTP/1.0 client
	}
	x.res = x.endHead(b, rules)
}

// relayRules returns the route's rules for a backend's response.
func (x *Exchange) relayRules(h *wire.ResponseHead) *route.HeaderRules {
	if h.Status == http.StatusPartialContent {
		const multipart = "multipart/byteranges"
		for i := range h.Fields {
			f := &h.Fields[i]
			if wire.EqualFold(f.Name, "content-type") && len(f.Value) > len(multipart) && wire.EqualFold(f.Value[:len(multipart)], multipart) {
				return &x.route.Response.Typed
			}
		}
	}
	return &x.route.Response.Any
}

// relayBody sends the head in x.res, if it is not empty, and the body, or what has not been read of it.
func (x *Exchange) relayBody(conn *transport.Conn, up *upload, chunked bool) pool.Outcome {
	if chunked {
		return x.relayChunks(conn, up)
	}
	return x.relayBytes(conn, up)
}

// pass sends a part of a relayed answer. Where that returns false, outcome is that of the answer.
func (x *Exchange) pass(up *upload, head, piece []byte) (outcome pool.Outcome, ok bool) {
	var err error
	if up.ended() {
		err = x.send(head, piece)
	} else {
		err = x.sent(x.client.Send(head, piece)) // the body of the request is still on its way
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

// appendOriginLine appends the backend's status line, in our version.
func appendOriginLine(b []byte, h *wire.ResponseHead) []byte {
	if sameText(h.Reason, h.Status) {
		return append(b, statusLines[h.Status]...)
	}
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(h.Status), 10)
	b = append(b, ' ')
	return append(append(b, h.Reason...), '\r', '\n')
}

// dateField is for rules to look at: a final answer without Date gets one from whoever passes it on
// (RFC 9110 section 6.6.1), but not where the route takes it out.
var dateField = wire.Field{Name: []byte("Date"), Kind: wire.Date}

// originFields appends the backend's fields that go on to the client, in their order. It reports whether
// Date is among them.
func (x *Exchange) originFields(conn *transport.Conn, b []byte, rules *route.HeaderRules) (_ []byte, dated bool) {
	h := &conn.Head
	var options wire.ConnectionOptions
	options.Read(h.Fields)
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Kind != wire.Other {
			if f.Kind.HopByHop() || f.Kind == wire.XRequestID ||
				f.Kind == wire.Trailer && x.http10 || // it gets none
				f.Kind == wire.ContentLengthField && (h.Status < 200 || h.Status == http.StatusNoContent) {
				continue
			}
		}
		if options.Name(f) || rules.Drops(f) {
			continue
		}
		if f.Kind == wire.Trailer {
			b = appendTrailerField(b, f, &options)
			continue
		}
		dated = dated || f.Kind == wire.Date
		b = append(b, f.Line...)
	}
	return b, dated
}

// joinLimit is the most of a body that is copied behind its head, which costs less than
// handing the system two pieces.
const joinLimit = 4 << 10

// relayBytes sends the head in x.res and then the body as it is. The head does not wait for
// the body, but goes along with what has come of it.
func (x *Exchange) relayBytes(conn *transport.Conn, up *upload) pool.Outcome {
	head := x.res
	if len(head) > 0 && !conn.Buffered() {
		if outcome, ok := x.pass(up, head, nil); !ok {
			return outcome
		}
		head = nil
	}
	for {
		piece, err := conn.ReadBody()
		if err != nil && err != io.EOF {
			return x.broken(head, err)
		}
		if len(head) > 0 && len(piece) <= joinLimit {
			head = append(head, piece...)
			x.res, piece = head, nil
		}
		if err == io.EOF && len(piece) == 0 {
			x.giveBack(conn, up, true)
		}
		if len(head) > 0 || len(piece) > 0 {
			if outcome, ok := x.pass(up, head, piece); !ok {
				return outcome
			}
			head = nil
		}
		if err == io.EOF {
			return pool.Success
		}
	}
}

// relayChunks sends the head in x.res and then the body in chunks of our own, each piece as
// soon as it has come.
func (x *Exchange) relayChunks(conn *transport.Conn, up *upload) pool.Outcome {
	if len(x.res) > 0 && !conn.Buffered() {
		if outcome, ok := x.pass(up, x.res, nil); !ok {
			return outcome
		}
		x.res = x.res[:0]
		x.client.MidChunks(true)
	}
	for {
		piece, err := conn.ReadBody()
		if err != nil && err != io.EOF {
			return x.broken(x.res, err)
		}
		b := x.res
		if len(piece) > 0 {
			b = strconv.AppendInt(b, int64(len(piece)), 16)
			b = append(b, '\r', '\n')
			b = append(b, piece...)
			b = append(b, '\r', '\n')
		}
		if err == io.EOF {
			b = appendLastChunk(b, conn.Trailer(), conn.Head.Fields)
			x.client.MidChunks(false)
			x.giveBack(conn, up, true)
		}
		if len(b) > 0 {
			if outcome, ok := x.pass(up, b, nil); !ok {
				return outcome
			}
		}
		x.res = b[:0]
		if err == io.EOF {
			return pool.Success
		}
		x.client.MidChunks(true)
	}
}

// broken ends an answer whose body the backend did not finish. If its head has not been sent, it
// is not: the client gets an error of ours instead.
func (x *Exchange) broken(head []byte, err error) pool.Outcome {
	if x.departure.happened() {
		x.cut(errClientLeft.Error())
		return pool.Aborted
	}
	outcome := outcomeOf(err)
	if len(head) > 0 && !x.client.Answered() {
		x.Extra, x.offers = x.Extra[:0], false
		x.tell(err, outcome)
		return outcome
	}
	x.cut("the backend did not finish its answer: " + err.Error())
	return outcome
}
