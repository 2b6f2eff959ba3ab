package netloop

import (
	"os"
)

// Output is what was sent on a socket of a loop and the socket has not taken: a copy, or what the sender promises not to
// change. The zero value is empty.
type Output struct {
	copied []byte // goes first; a rest of room
	room   []byte // borrowed from the loop, or larger than it lends
	stable []byte
	file   *os.File
	offset int64
	left   int64 // of file
}

// Pending reports whether there is anything.
func (o *Output) Pending() bool { return len(o.copied) > 0 || len(o.stable) > 0 || o.left > 0 }

// Drop forgets everything.
func (o *Output) Drop(l *Loop) {
	o.giveRoom(l)
	*o = Output{}
}

func (o *Output) giveRoom(l *Loop) {
	if o.room != nil && cap(o.room) <= LargeBuffer {
		l.Return(o.room)
	}
	o.room = nil
}

// keep adds a copy of p.
func (o *Output) keep(l *Loop, p []byte) {
	if len(p) == 0 {
		return
	}
	if need := len(o.copied) + len(p); o.room == nil || cap(o.copied) < need {
		var room []byte
		if need <= LargeBuffer {
			room = l.Borrow(need)
		} else {
			room = make([]byte, 2*need)
		}
		n := copy(room, o.copied)
		o.giveRoom(l)
		o.room, o.copied = room, room[:n]
	}
	o.copied = append(o.copied, p...)
}

// Write sends head and then body by one system call, behind what is pending, and keeps what the socket does not take: body as
// it is if it is stable, else a copy. n is how much the socket took of what is new. The error is not ErrWouldBlock.
func (o *Output) Write(s *Socket, head, body []byte, stable bool) (n int, err error) {
	if !o.Pending() {
		if n, err = s.Write(head, body); err != nil && err != ErrWouldBlock {
			return n, err
		}
		if n == len(head)+len(body) {
			return n, nil
		}
	}
	k := min(n, len(head))
	l := s.Loop()
	o.keep(l, head[k:])
	if stable && len(o.stable) == 0 && o.left == 0 {
		o.stable = body[n-k:]
	} else {
		o.keep(l, body[n-k:])
	}
	return n, nil
}

// SendFile sends n bytes of f from an offset on, behind what is pending. Neither may change before all is sent. It tries to send what it can
// at once; see Flush.
func (o *Output) SendFile(s *Socket, f *os.File, offset, n int64) (sent int, err error) {
	wasPending := o.Pending()
	o.file, o.offset, o.left = f, offset, n
	if wasPending {
		return 0, nil
	}
	return o.Flush(s)
}

// flushAtOnce bounds what one event has the loop send of what is large, so that others get their turn.
const flushAtOnce = 1 << 20

// Flush sends what the socket takes now, and reports how much that was. If something is left then, Writable will follow. An
// error, which is not ErrWouldBlock, is io.ErrUnexpectedEOF where the file has become shorter.
func (o *Output) Flush(s *Socket) (sent int, err error) {
	for o.Pending() {
		if sent >= flushAtOnce {
			s.Again()
			return sent, nil
		}
		n := 0
		if len(o.copied)+len(o.stable) > 0 {
			n, err = s.Write(o.copied, o.stable[:min(len(o.stable), flushAtOnce)])
			k := min(n, len(o.copied))
			o.copied, o.stable = o.copied[k:], o.stable[n-k:]
		} else {
			n, err = s.SendFile(o.file, o.offset, int(min(o.left, flushAtOnce)))
			o.offset += int64(n)
			o.left -= int64(n)
		}
		sent += n
		if err == ErrWouldBlock {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
	o.Drop(s.Loop())
	return sent, nil
}
