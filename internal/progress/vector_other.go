//go:build !linux

package progress

import "time"

type vector struct{}

// WriteParts writes head, body and tail. It fails with os.ErrDeadlineExceeded when the
// socket took no byte for idle (0: for ever); the write deadline as set before is gone.
func (c *Conn) WriteParts(head, body, tail []byte, idle time.Duration) (int64, error) {
	return c.writeInTurn(head, body, tail, idle)
}
