package exchange

import (
	"io"

	"lb/message"
	"lb/netloop"
	"lb/pool"
)

// responseSpool is what has come of a response's body and the client has not been sent: it is taken from the backend ahead of
// the client, so that the backend is given back as soon as it has sent everything.
type responseSpool struct {
	spool    spool
	size     int64 // how much may be taken ahead
	ring     int64 // offsets in the spool are positions modulo ring
	r, w     int64 // positions
	done     bool  // nothing more comes of the backend
	broken   bool  // the spool cannot be written to: what follows more is streamed
	more     []byte
	err      error // why the backend's part ended too early
	trailers []message.Field
}

// startSpool begins to take the response ahead, with a piece that the client has no room for; last says that it is the last.
func (x *Exchange) startSpool(piece []byte, last bool) {
	buffer := &x.forward.Buffer
	size := buffer.Response
	if length := x.conn.BodyLength(); length >= 0 {
		size = min(size, length+int64(len(piece)))
	}
	ring := size + netloop.LargeBuffer // what is read at a time may exceed the size
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

// spoolEnded is the end of the backend's part.
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

// relaySpool sends what is in the spool as far as the client takes it, and takes from the backend what there is room for.
func (x *Exchange) relaySpool() {
	s := x.spool
	for {
		for !x.blocked && s.r < s.w {
			offset := s.r % s.ring
			piece, err := s.spool.bytes(offset, min(s.w-s.r, s.ring-offset), x.worker.Loop.Scratch())
			if err != nil {
				x.finishBackend(pool.Aborted)
				x.cut(err.Error())
				return
			}
			s.r += int64(len(piece))
			x.blocked = !x.client.Send(piece, false, nil)
		}
		if !x.blocked && len(s.more) > 0 {
			piece := s.more
			s.more = nil
			x.blocked = !x.client.Send(piece, false, nil)
		}
		empty := s.r == s.w && len(s.more) == 0
		switch {
		case empty && s.done && s.err != nil && !x.blocked:
			x.cut("the backend did not finish its answer: " + s.err.Error())
			return
		case empty && s.done && !x.blocked:
			x.blocked = !x.client.Send(nil, true, s.trailers)
			x.relayed()
			return
		case empty && s.broken && !x.blocked:
			s.spool.close()
			x.spool, x.spools = nil, false
			x.relay()
			return
		case s.done || s.broken || s.w-s.r >= s.size:
			x.wait(0)
			return // until the client takes more
		}
		piece, err := x.conn.ReadBody()
		switch {
		case err == netloop.ErrWouldBlock:
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
