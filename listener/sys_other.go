//go:build !unix

package listener

import "net"

func descriptorLimit() (int, bool) { return 0, false }

func isIPv6Only(net.Listener) bool { return false }

func canIPv6() bool { return true }
