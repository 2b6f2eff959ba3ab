//go:build !linux

package transport

// undelivered reports whether it is certain that the backend received nothing of the current request. Other systems do not provide the
// information.
func (c *Conn) undelivered() bool { return false }
