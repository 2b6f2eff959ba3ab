package transport

import (
	"lb/http1"
	"lb/http2"
	"lb/internal/proxyprotocol"
	"lb/netloop"
)

// Worker is what the connections of one loop share, to all backends. Only the loop's goroutine uses it.
type Worker struct {
	Loop *netloop.Loop

	head http1.ResponseHead // of the connection that has read one in the current event
	out  []byte             // buffer for encoding heads and chunks

	behind [1]byte // see Conn.silent

	// Of the PROXY header for the client of the latest Get. uniqueID is the user's.
	described proxyprotocol.Connection
	header    []byte
	uniqueID  []byte

	http2   *http2.Worker // nil: no HTTP/2 so far
	streams []*Stream     // unused
}

// NewWorkers returns a worker for each loop, in their order.
func NewWorkers(loops []*netloop.Loop) []*Worker {
	workers := make([]*Worker, len(loops))
	for i, l := range loops {
		workers[i] = &Worker{Loop: l}
	}
	return workers
}
