package front

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"lb/internal/progress"
)

// link is the byte stream under TLS, or under HTTP without it: the socket, after what
// was read beyond a PROXY header. A write fails when no byte moved for the body's idle timeout.
type link struct {
	*progress.Conn
	c        *Conn
	ahead    []byte        // read with the PROXY header
	idle     time.Duration // for writes; 0: the listener's BodyIdleTimeout
	misnamed bool          // its TLS handshake is refused for the server name
	plain    bool          // after an upgrade: writes go by the deadline that was set, and by nothing else
	heard    atomic.Bool   // a byte has come
}

func (k *link) Read(p []byte) (int, error) {
	if len(k.ahead) > 0 {
		n := copy(p, k.ahead)
		k.ahead = k.ahead[n:]
		return n, nil
	}
	n, err := k.Conn.Read(p)
	if n > 0 && !k.heard.Load() {
		k.heard.Store(true)
	}
	return n, err
}

func (k *link) Write(p []byte) (int, error) {
	if k.plain {
		return k.Conn.Write(p)
	}
	idle := k.idle
	if idle == 0 {
		idle = k.c.listener.limits.BodyIdleTimeout
	}
	n, err := k.Conn.WriteParts(p, nil, nil, idle)
	return int(n), err
}

// receive reads once from the client. It fails with os.ErrDeadlineExceeded or
// progress.ErrInterrupted without harm.
func (c *Conn) receive(p []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Read(p)
	}
	return c.link.Read(p)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func isInterrupt(err error) bool { return errors.Is(err, progress.ErrInterrupted) }

// buffers of what is read to be dropped, and of what is joined for one TLS record.
type bytePool[T any] struct{ pool sync.Pool }

func (p *bytePool[T]) Get() any {
	if v := p.pool.Get(); v != nil {
		return v
	}
	return new(T)
}

func (p *bytePool[T]) Put(v *T) { p.pool.Put(v) }

var (
	wastePool  bytePool[[4096]byte]
	recordPool bytePool[[recordSize]byte]
)

// recordSize is the most that one TLS record holds.
const recordSize = 16 << 10

var _ net.Conn = (*link)(nil)
