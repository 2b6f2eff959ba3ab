//go:build !unix

package descriptor

import (
	"errors"
	"os"
	"syscall"
)

// File fails.
func File(syscall.Conn, string) (*os.File, error) { return nil, errors.ErrUnsupported }
