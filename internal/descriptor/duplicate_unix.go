//go:build unix

// Package descriptor makes further descriptors of what is open.
package descriptor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Duplicate returns another descriptor of the same, which no program that is started gets by itself.
func Duplicate(fd uintptr) (int, error) { return unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }

// File returns a duplicate of a descriptor as a file of its own. The result of a method File must not be used: to pass that to a
// process makes a socket a blocking one, in which the first would hang.
func File(of syscall.Conn, name string) (*os.File, error) {
	raw, err := of.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(open uintptr) { fd, dupErr = Duplicate(open) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("dup", dupErr)
	}
	return os.NewFile(uintptr(fd), name), nil
}
