package proxy

import (
	"time"

	"lb/message"
)

// flushPause is how long the backend may pause before the client gets what an encoder holds back. Shorter pauses are those between the
// packets of one response, and flushing in each would cost bytes and CPU.
const flushPause = 10 * time.Millisecond

// piecesAtOnce returns how many pieces of a body are forwarded before other connections get their turn: one if it is encoded, which takes
// about a millisecond.
func (x *Exchange) piecesAtOnce() int {
	if x.encoder != nil {
		return 1
	}
	return piecesAtOnce
}

// respondEncoded sends the head with the first piece of an encoded body. If it is the whole body, its length is known.
func (x *Exchange) respondEncoded(piece []byte, last bool) (flushed bool) {
	x.prompt = x.isEventStream()
	if len(piece) > 0 || last {
		piece = x.encoder.Encode(piece, last)
	}
	if last {
		x.response.SetLength(int64(len(piece)))
	}
	flushed = x.client.Respond(&x.response, piece, false, last)
	if last {
		x.releaseEncoder()
	}
	return flushed
}

// send sends the next piece of a backend's response, as Client.Send does, encoded if the response is. Everything sent before must have been
// flushed.
func (x *Exchange) send(piece []byte, last bool, trailers []message.Field) (flushed bool) {
	if last {
		x.giveBack()
	}
	if x.encoder == nil {
		return x.client.Send(piece, last, trailers)
	}
	out := x.encoder.Encode(piece, last)
	if len(out) == 0 && !last {
		return true
	}
	flushed = x.client.Send(out, last, trailers)
	if last {
		x.releaseEncoder()
	}
	return flushed
}

func (x *Exchange) releaseEncoder() {
	if x.encoder != nil {
		x.encoder.Release()
		x.encoder = nil
	}
}

// awaitsFlush reports whether the encoder holds something back that the client could take.
func (x *Exchange) awaitsFlush() bool { return x.encoder != nil && !x.blocked && x.encoder.Held() }

// paused handles a pause of the backend. What it has sent of an event stream is flushed at once, and so is what belongs to a
// conversation: the client may wait for it before it sends more.
func (x *Exchange) paused() {
	if x.awaitsFlush() && (x.prompt || !x.uploaded) {
		x.flushEncoder()
	}
}

// flushEncoder sends what the encoder holds back.
func (x *Exchange) flushEncoder() { x.blocked = !x.client.Send(x.encoder.Flush(), false, nil) }
