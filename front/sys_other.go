//go:build !unix

package front

import (
	"errors"
	"net"
)

func descriptorLimit() (int, bool) { return 0, false }

func readable(net.Conn) bool { return false }

func receiveNow(net.Conn, []byte) (n int, nothing bool) { return 0, false }

func dup(uintptr) (int, error) { return 0, errors.ErrUnsupported }
