//go:build !linux

package progress

import "time"

// reader needs nothing here.
type reader struct{}

func (c *Conn) readRaw(p []byte) (int, error) { return c.Conn.Read(p) }

func (c *Conn) readLent(l Lender) (int, error) { return c.Conn.Read(l.Lend()) }

// Ask writes request; p is for a Read to fill.
func (c *Conn) Ask(request, p []byte, idle time.Duration) (written int64, n int, err error) {
	written, err = c.WriteParts(request, nil, nil, idle)
	return written, 0, err
}
