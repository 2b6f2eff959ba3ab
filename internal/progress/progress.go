// Package progress makes deadlines on a connection nearly free.
//
// A server sets a deadline or two for every request, and nearly all are overtaken by the next one.
// Conn only remembers the wanted time; a timer of the runtime is armed when none is, or when the
// wanted time is earlier than the armed one. When the armed time comes and the wanted one is still
// ahead, the call that waits arms again and waits on: one timer operation every few seconds instead
// of two for every request.
package progress

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrSlow is what a write fails with whose peer took nothing for the patience that was set, and may yet take it. What was
// written is told; the rest can be written later, and the time until then counts for the limits.
var ErrSlow = errors.New("the peer takes nothing for now")

// ErrInterrupted is what a Read fails with after InterruptRead. It is a temporary
// timeout (net.Error), so that a TLS connection can be read on after it.
var ErrInterrupted error = interrupted{}

type interrupted struct{}

func (interrupted) Error() string   { return "read interrupted" }
func (interrupted) Timeout() bool   { return true }
func (interrupted) Temporary() bool { return true }

// Conn wraps a connection. Its zero value with Conn set is ready; it must not be copied.
//
// A Read or Write fails with os.ErrDeadlineExceeded at the wanted time, neither earlier nor
// later. Reads belong to one goroutine at a time, and so do writes; the first use of all comes before the two run side by
// side. Deadlines may be set from any.
type Conn struct {
	net.Conn
	raw         syscall.RawConn // of Conn; nil: not asked for yet, or there is none
	read, write deadline
	interrupted atomic.Bool
	vector      vector
	pace        Pace          // of writes
	stalled     time.Time     // since when the socket has had no room for a write; zero: it had
	patience    time.Duration // see SetPatience
	reader      reader
}

// deadline is one direction's. Times are nanoseconds since epoch; 0 is none.
type deadline struct {
	wanted atomic.Int64
	armed  atomic.Int64 // what the runtime's timer is set to
	arming sync.Mutex   // held to set the timer
}

// epoch makes times out of monotonic clock readings fit one word.
var epoch = time.Now()

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if n := int64(t.Sub(epoch)); n != 0 {
		return n
	}
	return 1
}

// SetReadDeadline is as in net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.read.set(stamp(t), c.Conn.SetReadDeadline)
}

// SetWriteDeadline is as in net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.write.set(stamp(t), c.Conn.SetWriteDeadline)
}

// SetDeadline is as in net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// RenewRead lets reads wait until d from now; d <= 0: for ever.
func (c *Conn) RenewRead(d time.Duration) error { return c.SetReadDeadline(after(d)) }

// RenewWrite lets writes wait until d from now; d <= 0: for ever.
func (c *Conn) RenewWrite(d time.Duration) error { return c.SetWriteDeadline(after(d)) }

func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// InterruptRead makes the Read that waits, or else the next one, fail with ErrInterrupted once.
// The deadline stays as it was.
func (c *Conn) InterruptRead() error {
	c.interrupted.Store(true)
	c.read.arming.Lock()
	defer c.read.arming.Unlock()
	return c.read.arm(longAgo, c.Conn.SetReadDeadline)
}

// ForgetInterrupt takes back an InterruptRead that no Read has met. No Read may be waiting.
func (c *Conn) ForgetInterrupt() { c.interrupted.Store(false) }

// longAgo is a deadline that has passed.
const longAgo = -1 << 62

// Read reads once, as net.Conn says.
func (c *Conn) Read(p []byte) (n int, err error) {
	for {
		if n, err = c.readRaw(p); err == nil || n > 0 {
			return n, err
		}
		if err = c.afterDeadline(err); err != nil {
			return n, err
		}
	}
}

// Lender has room for a read.
type Lender interface {
	Lend() []byte // the same each time, until TakeBack
	TakeBack()    // what was lent is not needed
}

// ReadLent is Read into room that is lent by l when there is something to be read, where the system allows that.
// What has been read is in it; if that is nothing it has been given back.
func (c *Conn) ReadLent(l Lender) (n int, err error) {
	for {
		n, err = c.readLent(l)
		if n == 0 {
			l.TakeBack()
		}
		if err == nil || n > 0 {
			return n, err
		}
		if err = c.afterDeadline(err); err != nil {
			return n, err
		}
	}
}

// afterDeadline returns nil if err is that of a deadline which nobody wants any more: the
// read is to be tried again. Else it returns what the read fails with.
func (c *Conn) afterDeadline(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	wasInterrupted := c.interrupted.Swap(false)
	due, armErr := c.read.rearm(c.Conn.SetReadDeadline)
	switch {
	case armErr != nil:
		return armErr
	case due:
		return err
	case wasInterrupted:
		return ErrInterrupted
	}
	return nil
}

// Write writes all of p, as net.Conn says.
func (c *Conn) Write(p []byte) (int, error) {
	done := 0
	for {
		n, err := c.Conn.Write(p[done:])
		done += n
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return done, err
		}
		if due, armErr := c.write.rearm(c.Conn.SetWriteDeadline); due || armErr != nil {
			return done, errors.Join(armErr, err)
		}
	}
}

// SetPatience has WriteParts and SendFile fail with ErrSlow when the peer takes nothing for d; 0: they wait for as long as
// they may. Only where the system tells how much room a socket has.
func (c *Conn) SetPatience(d time.Duration) { c.patience = d }

// Stalled returns since when the peer has taken nothing of what is to be written; zero: it did when it was last written to.
func (c *Conn) Stalled() time.Time { return c.stalled }

// ForgetDeadlines is for a connection below that has none any more, as one that has slept.
func (c *Conn) ForgetDeadlines() {
	c.read.forget()
	c.write.forget()
}

func (d *deadline) forget() {
	d.arming.Lock()
	defer d.arming.Unlock()
	d.wanted.Store(0)
	d.armed.Store(0)
}

func earlier(a, b int64) bool { return a != 0 && (b == 0 || a < b) }

// set remembers the wanted time and touches the timer only if it would fire too late.
func (d *deadline) set(wanted int64, setTimer func(time.Time) error) error {
	d.wanted.Store(wanted)
	if !earlier(wanted, d.armed.Load()) {
		return nil
	}
	d.arming.Lock()
	defer d.arming.Unlock()
	return d.follow(setTimer)
}

// rearm is called when the timer has fired. It reports whether the wanted time has really come,
// and leaves the timer set to it.
func (d *deadline) rearm(setTimer func(time.Time) error) (due bool, err error) {
	d.arming.Lock()
	defer d.arming.Unlock()
	wanted := d.wanted.Load()
	if wanted != 0 && wanted <= stamp(time.Now()) {
		return true, nil
	}
	if err := d.arm(wanted, setTimer); err != nil {
		return false, err
	}
	return false, d.follow(setTimer)
}

// follow arms the timer until it fires no later than wanted. A time wanted meanwhile by
// another goroutine is seen either here or there, since both store first and then look.
func (d *deadline) follow(setTimer func(time.Time) error) error {
	for {
		wanted := d.wanted.Load()
		if !earlier(wanted, d.armed.Load()) {
			return nil
		}
		if err := d.arm(wanted, setTimer); err != nil {
			return err
		}
	}
}

func (d *deadline) arm(at int64, setTimer func(time.Time) error) error {
	d.armed.Store(at)
	if at == 0 {
		return setTimer(time.Time{})
	}
	return setTimer(epoch.Add(time.Duration(at)))
}
