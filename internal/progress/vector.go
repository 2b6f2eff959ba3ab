package progress

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// pieceSize is how much writeInTurn writes under one deadline.
const pieceSize = 64 << 10

// writeInTurn is WriteParts for connections that are no sockets, and for other systems.
func (c *Conn) writeInTurn(head, body, tail []byte, idle time.Duration) (done int64, err error) {
	for _, part := range [3][]byte{head, body, tail} {
		for len(part) > 0 {
			piece := part[:min(len(part), pieceSize)]
			n, err := c.writePiece(piece, idle)
			done += int64(n)
			if err != nil {
				return done, err
			}
			part = part[n:]
		}
	}
	return done, nil
}

// writePiece lets a slow reader take the piece bit by bit: a timeout after some bytes is none.
func (c *Conn) writePiece(piece []byte, idle time.Duration) (done int, err error) {
	for {
		if err := c.RenewWrite(idle); err != nil {
			return done, err
		}
		n, err := c.Write(piece[done:])
		done += n
		if err == nil || n == 0 || !isDeadline(err) {
			return done, err
		}
	}
}

func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// opError is a failed system call on the connection, as net.OpError would show it.
type opError struct {
	op    string
	errno syscall.Errno
}

func (e *opError) Error() string   { return e.op + ": " + e.errno.Error() }
func (e *opError) Unwrap() error   { return e.errno }
func (e *opError) Timeout() bool   { return e.errno.Timeout() }
func (e *opError) Temporary() bool { return e.errno.Temporary() }

var _ net.Error = (*opError)(nil)
