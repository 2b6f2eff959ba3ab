package netloop_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"lb/netloop"
)

// echo is the connection of the package comment.
type echo struct {
	netloop.Socket
	idle netloop.Timer
}

func (e *echo) Ready(events netloop.Events) {
	if events&netloop.Failed != 0 {
		e.end()
		return
	}
	for {
		buffer := e.Loop().Scratch()
		n, err := e.Read(buffer)
		if err == netloop.ErrWouldBlock {
			e.idle.Reset(time.Minute)
			return // wait for the next event
		}
		if err != nil { // io.EOF, or the connection is broken
			e.end()
			return
		}
		e.Write(buffer[:n], nil) // a real server keeps the rest until Writable
	}
}

func (e *echo) Expired(*netloop.Timer) { e.end() }
func (e *echo) end()                   { e.idle.Stop(); e.Close() }

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	loops := netloop.New(netloop.Options{})
	if err := loops.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := loops.Listen(ln, func(in *netloop.Incoming) {
		e := &echo{}
		e.idle.Init(in.Loop(), e)
		if in.Open(&e.Socket, e) == nil {
			e.idle.Reset(time.Minute)
		}
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(client, "hello")
	response := make([]byte, 5)
	_, err = io.ReadFull(client, response)
	fmt.Println(string(response), err)
	client.Close()

	stop()
	loops.Wait()
	// Output: hello <nil>
}
