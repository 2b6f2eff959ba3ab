// Package netloop runs sockets on event loops: one goroutine a core that waits for all of its sockets at once, instead
// of a goroutine for each of them.
//
// A socket belongs to one loop from its first byte to its last. It is embedded in the struct of its connection, so
// that an idle one costs that struct and nothing else:
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
//				return // until the next event
//			}
//			if err != nil { // io.EOF, or what broke the connection
//				e.end()
//				return
//			}
//			e.Write(buffer[:n], nil) // a real one keeps what was not taken until Writable
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
// Everything of a Loop, a Socket and a Timer is called on the goroutine of the loop alone: in Ready, in Expired, in
// tasks, in the function given to Listen. The exceptions are Loop.Post, Loop.Counters, and what Loops and Listener have.
//
// No handler may block, nor compute for long: whatever it takes, all sockets of its loop wait for. What must
// block goes into Loop.Go. A handler that has read its share of a fast stream stops and calls Socket.Again.
//
// An event is told once, when a socket becomes readable or writable, not while it is. So a handler reads until
// ErrWouldBlock, or remembers that it stopped before. Asking again costs nothing: a socket knows when a system call
// could not succeed, and makes none.
//
// A socket that was closed gets no event any more, not even one that the kernel had already reported, and its struct may be used for
// another connection at once.
//
// # Drivers
//
// On Linux a loop is an epoll instance, edge-triggered. Elsewhere, and with the build tag "portable", the same API runs
// on Go's net, with goroutines for each socket that read and write for the loop.
package netloop

import (
	"errors"
	"syscall"
)

// Events say what has happened to a socket.
type Events uint8

const (
	// Readable: Read has something to give: bytes, the end, or an error.
	Readable Events = 1 << iota
	// Writable: Write, which returned less than it was given or ErrWouldBlock before, takes something again.
	Writable
	// HungUp: the peer has ended its sending side. What it sent before may still be unread.
	HungUp
	// Failed: the connection is broken, the dial or the TLS handshake has failed, or the loop stops. Socket.Err says which.
	// The handler must close the socket. What the peer sent before may still be read.
	Failed
	// Connected: the dial has succeeded. The socket is writable.
	Connected
	// Secured: the TLS handshake has succeeded. Read may have something to give.
	Secured
)

// A Handler owns a socket.
type Handler interface {
	// Ready is called once for all that has happened since the last call.
	Ready(Events)
}

// A Task is something to do on a loop. A pointer as task needs no allocation.
type Task interface {
	Run()
}

// TaskFunc makes a function a task.
type TaskFunc func()

// Run calls the function.
func (f TaskFunc) Run() { f() }

// ErrWouldBlock says that nothing can be read or written now. An event comes when that changes.
var ErrWouldBlock error = syscall.EAGAIN

// ErrStopped is why sockets fail when their loop stops.
var ErrStopped = errors.New("the loop has stopped")
