//go:build unix

package command

import (
	"os"
	"strconv"
	"syscall"
)

// foreign reports whether a file belongs to neither this user, nor the one that sudo was called by, nor root.
func foreign(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false // its reader says why
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	caller, err := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	bySudo := os.Geteuid() == 0 && err == nil && s.Uid == uint32(caller)
	return s.Uid != 0 && s.Uid != uint32(os.Geteuid()) && !bySudo
}
