//go:build !linux

package front

import "syscall"

func tuneListener(_, _ string, _ syscall.RawConn) error { return nil }
