//go:build !unix

package listener

import (
	"errors"
	"net"
	"os"
)

func trySend(*net.UnixConn, []byte) {}

func linked() (*net.UnixConn, *os.File, error) { return nil, nil, errors.ErrUnsupported }
