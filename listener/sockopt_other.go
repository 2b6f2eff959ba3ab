//go:build !linux

package listener

import "syscall"

func tuneListener(_, _ string, _ syscall.RawConn) error { return nil }
