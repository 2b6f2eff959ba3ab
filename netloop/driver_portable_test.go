//go:build !linux || !(amd64 || arm64) || portable

package netloop

// portable says that goroutines read ahead of the loop, so that an end behind unread bytes is not seen before they were read.
const portable = true

// portBound is what the driver buffers of a socket.
const portBound = portOut

// arrived reports true if it cannot be known.
func arrived(*Socket) bool { return true }
