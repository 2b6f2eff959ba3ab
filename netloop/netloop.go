// Package netloop runs sockets on event loops: one goroutine per core that waits for all of its sockets at once, instead of a goroutine
// per socket.
//
// A socket belongs to one loop from its first byte to its last. It is embedded in the struct of its connection, so that an idle connection
// costs only that struct:
//
//	type echo struct {
//		netloop.Socket
//		idle netloop.Timer
//	}
//
//	func (e *echo) Ready(events netloop.Events) {
//		if events&netloop.Failed != 0 {
//			e.end()
//			return
//		}
//		for {
//			buffer := e.Loop().Scratch()
//			n, err := e.Read(buffer)
//			if err == netloop.ErrWouldBlock {
//				e.idle.Reset(time.Minute)
//				return // wait for the next event
//			}
//			if err != nil { // io.EOF, or the connection is broken
//				e.end()
//				return
//			}
//			e.Write(buffer[:n], nil) // a real server keeps the rest until Writable
//		}
//	}
//
//	func (e *echo) Expired(*netloop.Timer) { e.end() }
//	func (e *echo) end()                   { e.idle.Stop(); e.Close() }
//
//	loops := netloop.New(netloop.Options{})
//	err := loops.Start(ctx) // they stop when ctx ends
//	listener, err := loops.Listen(tcpListener, func(in *netloop.Incoming) {
//		e := &echo{}
//		e.idle.Init(in.Loop(), e)
//		if in.Open(&e.Socket, e) == nil {
//			e.idle.Reset(time.Minute)
//		}
//	}, nil)
//	…
//	loops.Wait()
//
// # Rules
//
// All methods of Loop, Socket and Timer must be called on the goroutine of the loop: in Ready, in Expired, in tasks, and in the function
// passed to Listen. The exceptions are Loop.Post and Loop.Counters. The methods of Loops and Listener may be called from any goroutine.
//
// A handler must not block or compute for long, since all sockets of its loop wait meanwhile. Use Loop.Go for what blocks. A handler
// that has read its share of a fast stream should stop and call Socket.Again.
//
// Events are edge-triggered: there is one when a socket becomes readable or writable, and none while it stays so. A handler must read
// until ErrWouldBlock, or remember that it stopped before that. Trying again costs nothing: a socket knows when a system call could not
// succeed, and does not make it.
//
// A closed socket gets no more events, not even those that the kernel has already reported. Its struct can be used for another
// connection at once.
//
// # Drivers
//
// On Linux a loop is an edge-triggered epoll instance. On other systems, and with the build tag "portable", the same API runs on Go's net,
// with goroutines for each socket that read and write for the loop.
package netloop

import (
	"errors"
	"syscall"
)

// Events say what has happened to a socket.
type Events uint8

const (
	// Readable: Read may return bytes, the end of the stream, or an error.
	Readable Events = 1 << iota
	// Writable: Write can continue, after it wrote only a part or returned ErrWouldBlock.
	Writable
	// HungUp: the peer has closed its sending side. There may still be unread bytes.
	HungUp
	// Failed: the connection is broken, the dial or the TLS handshake has failed, or the loop stops; see Socket.Err. The handler
	// must close the socket, and may read what the peer sent before that.
	Failed
	// Connected: the dial has succeeded. The socket is writable.
	Connected
	// Secured: the TLS handshake has succeeded. There may be something to read.
	Secured
)

// A Handler owns a socket.
type Handler interface {
	// Ready is called with everything that has happened since the last call.
	Ready(Events)
}

// A Task is run on a loop. Posting a pointer does not allocate.
type Task interface {
	Run()
}

// TaskFunc is a function as a Task.
type TaskFunc func()

// Run calls the function.
func (f TaskFunc) Run() { f() }

// ErrWouldBlock means that nothing can be read or written now. There will be an event when that changes.
var ErrWouldBlock error = syscall.EAGAIN

// ErrStopped is the error of sockets whose loop stops.
var ErrStopped = errors.New("the loop has stopped")
