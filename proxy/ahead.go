package proxy

import (
	"io"

	"lb/message"
	"lb/netloop"
	"lb/pool"
)

// responseSpool buffers the part of a response body that was received from the backend and not sent to the client yet. The body is
// read ahead of the client so that the backend is released as soon as it has sent everything.
type responseSpool struct {
	spool    spool
	size     int64  // bytes that may be read ahead
	ring     int64  // an offset in the spool is a position modulo ring
	r, w     int64  // positions in the body: next to send, next to receive
	done     bool   // the backend's side has ended
	broken   bool   // writing to the spool failed: what follows is streamed
	more     []byte // then: the piece that could not be written
	err      error  // why the backend's side ended too early
	trailers []message.Field
}

// startSpool starts to read the response ahead, with a piece that cannot be sent yet. last says that it is the last piece.
func (x *Exchange) startSpool(piece []byte, last bool) {
	buffer := &x.forward.Buffer
	size := buffer.Response
	if length := x.conn.BodyLength(); length >= 0 {
		size = min(size, length+int64(len(piece)))
	}
	ring := size + netloop.LargeBuffer // one read may exceed the size
	x.spool = &responseSpool{spool: newSpool(buffer.Dir, spoolMemory, ring), size: size, ring: ring}
	x.spoolPiece(piece)
	if last {
		x.spoolEnded(nil)
	}
	x.relaySpool()
}

// spoolPiece puts a piece into the spool.
func (x *Exchange) spoolPiece(piece []byte) {
	s := x.spool
	for p := piece; len(p) > 0; {
		offset := s.w % s.ring
		part := p[:min(int64(len(p)), s.ring-offset)]
		if err := s.spool.writeAt(part, offset); err != nil {
			x.forward.Buffer.failed(err)
			s.broken, s.more = true, append([]byte(nil), p...)
			return
		}
		s.w += int64(len(part))
		p = p[len(part):]
	}
}

// spoolEnded handles the end of the backend's side.
func (x *Exchange) spoolEnded(err error) {
	s := x.spool
	s.done, s.err = true, err
	if err != nil {
		x.finishBackend(outcomeOf(err))
		return
	}
	for _, f := range x.conn.Trailer() {
		s.trailers = append(s.trailers, message.NewField(string(f.Name), string(f.Value)))
	}
	x.finishBackend(pool.Success)
}

// relaySpool sends as much of the spool as the client accepts, and reads from the backend while the spool has room.
func (x *Exchange) relaySpool() {
	s := x.spool
	for pieces := 0; ; pieces++ {
		if pieces == x.piecesAtOnce() {
			x.worker.Loop.Later((*responseTask)(x))
			x.awaitBody()
			return
		}
		for !x.blocked && s.r < s.w {
			offset := s.r % s.ring
			piece, err := s.spool.bytes(offset, min(s.w-s.r, s.ring-offset), x.worker.Loop.Scratch())
			if err != nil {
				x.finishBackend(pool.Aborted)
				x.cut(err.Error())
				return
			}
			s.r += int64(len(piece))
			x.blocked = !x.send(piece, false, nil)
			if x.encoder != nil && !x.blocked && s.r < s.w { // other connections get their turn
				x.worker.Loop.Later((*responseTask)(x))
				x.awaitBody()
				return
			}
		}
		if !x.blocked && len(s.more) > 0 {
			piece := s.more
			s.more = nil
			x.blocked = !x.send(piece, false, nil)
		}
		empty := s.r == s.w && len(s.more) == 0
		switch {
		case empty && s.done && s.err != nil && !x.blocked:
			x.cut("the backend did not finish its response: " + s.err.Error())
			return
		case empty && s.done && !x.blocked:
			x.blocked = !x.send(nil, true, s.trailers)
			x.relayed()
			return
		case empty && s.broken && !x.blocked:
			s.spool.close()
			x.spool, x.spools = nil, false
			x.relay()
			return
		case s.done || s.broken || s.w-s.r >= s.size:
			x.wait(0)
			return // until the client accepts more
		}
		piece, err := x.responsePiece()
		switch {
		case err == netloop.ErrWouldBlock:
			if empty && x.encoder != nil && !x.blocked {
				x.flushEncoder()
			}
			x.wait(x.timeouts().Idle)
			return
		case err != nil && err != io.EOF:
			x.spoolEnded(err)
		default:
			x.spoolPiece(piece)
			if err == io.EOF && !s.broken {
				x.spoolEnded(nil)
			}
		}
	}
}
