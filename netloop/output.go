package netloop

import (
	"errors"
	"io"
	"os"
)

// Stream is a stream of bytes on a loop: a Socket, or a part of a connection with several streams. The methods are those of Socket.
type Stream interface {
	Read(p []byte) (int, error)
	Write(head, body []byte) (int, error)
	Buffered() int
	CloseWrite() error
	Again()
	Loop() *Loop
}

// ReadPiece is for Read of a Stream whose bytes come in pieces that fit p: it copies the piece, and leaves an io.EOF that came with it to the
// next call, which has to return it again.
func ReadPiece(p, piece []byte, err error) (int, error) {
	n := copy(p, piece)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Output is the pending output of a socket: what was sent and has not been passed to the system yet. It consists of copies, of bytes that
// the sender promises not to change, of a part of a file, and of what the socket itself has buffered. The zero value is empty.
type Output struct {
	socket Stream //  if it has buffered bytes, which precede all that follows; else nil
	copied []byte // sent first; a part of room
	room   []byte // borrowed from the loop, or allocated if larger than it lends
	stable []byte
	sender *Socket // of file
	file   *os.File
	offset int64
	left   int64 // of file
	cached int64 // the file is in memory up to here
	ahead  *readAhead
}

// Pending reports whether there is pending output.
func (o *Output) Pending() bool { return o.socket != nil || o.Unwritten() }

// Unwritten reports whether there is output that has not been written to the socket.
func (o *Output) Unwritten() bool { return len(o.copied) > 0 || len(o.stable) > 0 || o.left > 0 }

// note records whether the socket has buffered bytes.
func (o *Output) note(s Stream) {
	o.socket = nil
	if s.Buffered() > 0 {
		o.socket = s
	}
}

// Drop drops the pending output.
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

// Write sends head and body after the pending output, with one system call, and keeps what cannot be written: a stable body itself, else a
// copy. n is how much of head and body was written to the socket. The error is never ErrWouldBlock. While a file is pending nothing can
// be written.
func (o *Output) Write(s Stream, head, body []byte, stable bool) (n int, err error) {
	if !o.Unwritten() {
		if n, err = s.Write(head, body); err != nil && err != ErrWouldBlock {
			return n, err
		}
		o.note(s)
	}
	k := min(n, len(head))
	l := s.Loop()
	switch {
	case n == len(head)+len(body):
		return n, nil
	case o.left > 0:
		return 0, errFilePending
	}
	if len(o.stable) > 0 { // copies are sent before it
		o.keep(l, o.stable)
		o.stable = nil
	}
	o.keep(l, head[k:])
	if stable {
		o.stable = body[n-k:]
	} else {
		o.keep(l, body[n-k:])
	}
	return n, nil
}

var errFilePending = errors.New("output behind a file that is still being sent")

// SendFile sends n bytes of f from offset after the pending output. f must not be closed, nor the bytes changed, before everything is sent.
// Unless output was pending, it calls Flush. The loop does not wait for the disk.
func (o *Output) SendFile(s *Socket, f *os.File, offset, n int64) (sent int, err error) {
	wasPending := o.Pending()
	o.sender, o.file, o.offset, o.left, o.cached = s, f, offset, n, offset
	if wasPending {
		return 0, nil
	}
	return o.Flush(s)
}

// flushAtOnce is how many bytes Flush writes, before other sockets get their turn.
const flushAtOnce = 1 << 20

// Flush writes pending output to the socket, and returns how much was written. If output is left, Writable will follow. The error is
// never ErrWouldBlock, and io.ErrUnexpectedEOF if the file was truncated.
func (o *Output) Flush(s Stream) (sent int, err error) {
	o.note(s)
	for o.Unwritten() {
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
			if !o.inMemory(o.sender) {
				return sent, nil
			}
			n, err = o.sender.SendFile(o.file, o.offset, int(min(o.left, flushAtOnce)))
			o.offset += int64(n)
			o.left -= int64(n)
		}
		sent += n
		o.note(s)
		if err == ErrWouldBlock {
			return sent, nil
		}
		if err != nil {
			return sent, err
		}
	}
	if o.socket == nil {
		o.Drop(s.Loop())
	}
	return sent, nil
}

// readAhead reads a part of a file that is not in memory, so that the loop need not wait for the disk.
type readAhead struct {
	output *Output
	socket registration
	loop   *Loop
	offset int64
	n      int
}

// inMemory reports whether the next part of the file can be sent without waiting for the disk. If not, it is read into memory by
// another goroutine, and the socket's handler is called again.
func (o *Output) inMemory(s *Socket) bool {
	n := min(o.left, flushAtOnce)
	switch {
	case o.ahead != nil:
		return false
	case o.offset+n <= o.cached:
		return true
	case InMemory(o.file, o.offset, int(n)):
		o.cached = o.offset + n
		return true
	}
	o.ahead = &readAhead{o, s.registration(), s.Loop(), o.offset, int(n)}
	s.Loop().ReadAhead(o.file, o.offset, int(n), o.ahead)
	return false
}

// Run implements Task.
func (r *readAhead) Run() {
	if r.output.ahead != r {
		return // what was sent was dropped
	}
	r.output.ahead = nil
	r.output.cached = r.offset + int64(r.n)
	if s := r.loop.find(r.socket); s != nil {
		s.Again()
	}
}
