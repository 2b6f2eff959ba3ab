//go:build !linux

package progress

import "errors"

// Hangup is for Linux only.
func (c *Conn) Hangup() (ended, broken bool) { return false, false }

// AwaitHangup is for Linux only; without it a client that has gone is noticed when the answer is sent.
func (c *Conn) AwaitHangup(bool) (broken bool, err error) { return false, errors.ErrUnsupported }
