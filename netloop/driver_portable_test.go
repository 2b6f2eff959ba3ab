//go:build !linux || !(amd64 || arm64) || portable

package netloop

// portable says that goroutines read ahead of the loop, so that the end of a stream is not detected before the bytes before it are read.
const portable = true

// portBound is how many bytes the driver buffers for a socket.
const portBound = portOut

// arrived always returns true, since this driver cannot know.
func arrived(*Socket) bool { return true }
