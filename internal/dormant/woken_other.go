//go:build !linux

package dormant

import (
	"errors"
	"net"
)

// duplicate fails: nothing could tell when a sleeping connection has to wake.
func duplicate(uintptr) (int, error) { return 0, errors.ErrUnsupported }

func closeDescriptor(int) error { return errors.ErrUnsupported }

func wake(int) (net.Conn, error) { return nil, errors.ErrUnsupported }
