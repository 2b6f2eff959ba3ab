//go:build !unix

package front

import (
	"net"
)

func descriptorLimit() (int, bool) { return 0, false }

func readable(net.Conn) bool { return false }

func receiveNow(net.Conn, []byte) (n int, nothing bool) { return 0, false }

func isIPv6Only(net.Listener) bool { return false }

func canIPv6() bool { return true }
