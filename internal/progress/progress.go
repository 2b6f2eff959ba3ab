// Package progress makes deadlines on a connection nearly free.
//
// A server sets a deadline or two for every request, and nearly all are overtaken by the next one.
// Conn only remembers the wanted time; a timer of the runtime is armed when none is, or when the
// wanted time is earlier than the armed one. When the armed time comes and the wanted one is still
// ahead, the call that waits re-arms and waits on: one timer operation every few seconds instead of
// two for every request.
package progress

import (
	"net"
	"time"
)

// Conn wraps a connection. Its zero value with Conn set is ready; it must not be copied.
//
// A Read or Write fails with os.ErrDeadlineExceeded at the wanted time, neither earlier nor later.
type Conn struct {
	net.Conn
}

// RenewRead lets reads wait until d from now; d <= 0: for ever.
func (c *Conn) RenewRead(d time.Duration) { panic("todo") }

// RenewWrite lets writes wait until d from now; d <= 0: for ever.
func (c *Conn) RenewWrite(d time.Duration) { panic("todo") }
