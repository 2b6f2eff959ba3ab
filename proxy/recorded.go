package proxy

import (
	"io"

	"lb/message"
	"lb/netloop"
	"lb/pool"
)

// recorded is the part of a response that is being stored and was not sent to the client yet, because the client reads slowly. It is sent
// from the recording, so that others, who wait for the response, need not wait for this client.
type recorded struct {
	sent     int    // bytes of the body that were sent
	body     []byte // after the end of the recording; before, it is that of the recording
	more     []byte // what follows body, if the recording has ended because the body is too large
	done     bool   // the backend's side has ended
	err      error  // why it has ended too early
	trailers []message.Field
}

// recordedPiece is how many bytes are sent at once: so many are copied for a client that does not take them at once.
const recordedPiece = 64 << 10

// records reports whether the response is being recorded.
func (x *Exchange) records() bool { return x.caching != nil && x.caching.recording != nil }

// startRecorded starts to read ahead of the client, to which everything that was read before has been sent.
func (x *Exchange) startRecorded() {
	c := x.caching
	c.ahead = &recorded{sent: len(c.recording.Body())}
	x.relayRecorded()
}

// pending returns what is to be sent.
func (c *caching) pending() []byte {
	if c.recording != nil {
		return c.recording.Body()[c.ahead.sent:]
	}
	return c.ahead.body[c.ahead.sent:]
}

// relayRecorded sends as much as the client accepts, and reads from the backend until the response is complete.
func (x *Exchange) relayRecorded() {
	c := x.caching
	a := c.ahead
	for pieces := 0; ; pieces++ {
		if pieces == x.piecesAtOnce() {
			x.worker.Loop.Later((*responseTask)(x))
			return
		}
		x.sendRecorded()
		empty := !x.blocked && len(c.pending()) == 0 && len(a.more) == 0
		switch {
		case (a.done || c.recording == nil) && !empty && !x.blocked: // with an encoder
			continue
		case empty && a.err != nil:
			x.cut("the backend did not finish its response: " + a.err.Error())
			return
		case empty && a.done:
			x.blocked = !x.send(nil, true, a.trailers)
			x.relayed()
			return
		case empty && c.recording == nil:
			c.ahead = nil // the rest is streamed
			x.relay()
			return
		case a.done || c.recording == nil:
			x.wait(0)
			return // until the client accepts more
		}
		_, err := x.responsePiece()
		switch {
		case err == netloop.ErrWouldBlock:
			if x.encoder != nil {
				x.paused()
			}
			x.awaitBody()
			return
		case err != nil && err != io.EOF:
			a.err = err
			x.recordedEnded(outcomeOf(err))
		case err == io.EOF:
			for _, f := range x.conn.Trailer() {
				a.trailers = append(a.trailers, message.NewField(string(f.Name), string(f.Value)))
			}
			x.recordedEnded(pool.Success)
		}
	}
}

// sendRecorded sends as much as the client accepts.
func (x *Exchange) sendRecorded() {
	c := x.caching
	for !x.blocked {
		piece := c.pending()
		if piece = piece[:min(len(piece), recordedPiece)]; len(piece) > 0 {
			c.ahead.sent += len(piece)
		} else if piece, c.ahead.more = c.ahead.more, nil; len(piece) == 0 {
			return
		}
		x.blocked = !x.send(piece, false, nil)
		if x.encoder != nil { // other connections get their turn
			return
		}
	}
}

// recordedEnded releases the backend at the end of its response.
func (x *Exchange) recordedEnded(outcome pool.Outcome) {
	c := x.caching
	c.ahead.done = true
	if c.recording != nil { // broken off
		x.endRecording(c.recording.Body())
		x.endFlight(false)
	}
	x.finishBackend(outcome)
}

// endRecording ends a recording, of which the client may still need the body.
func (x *Exchange) endRecording(body []byte) {
	c := x.caching
	c.recording.Abort()
	c.recording = nil
	if c.ahead != nil {
		c.ahead.body = body
	}
}
