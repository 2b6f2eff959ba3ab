// Command static1k responds to every HTTP request with the same 1 KiB. It is for measuring loops alone.
//
//	go run ./netloop/internal/static1k -listen 127.0.0.1:8080 -loops 2
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"os/signal"
	"time"

	"lb/netloop"
)

var (
	end  = []byte("\r\n\r\n")
	head = []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"abcdefabcdef\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 1024\r\nX-Request-Id: 0123456789abcdef0123456789abcdef\r\n\r\n")
	body = bytes.Repeat([]byte("x"), 1024)
)

const idle = 75 * time.Second

type client struct {
	netloop.Socket
	timer netloop.Timer
}

func (c *client) Ready(e netloop.Events) {
	if e&netloop.Failed != 0 {
		c.end()
		return
	}
	for {
		b := c.Loop().Scratch()
		n, err := c.Read(b)
		if err == netloop.ErrWouldBlock {
			c.timer.Reset(idle)
			return
		}
		if err != nil || !bytes.HasSuffix(b[:n], end) { // heads in pieces are not supported
			c.end()
			return
		}
		if n, err := c.Write(head, body); err != nil || n < len(head)+len(body) {
			c.end()
			return
		}
		if bytes.Contains(b[:n], []byte("Connection: close")) {
			c.end()
			return
		}
	}
}

func (c *client) Expired(*netloop.Timer) { c.end() }

func (c *client) end() {
	c.timer.Stop()
	c.Close()
}

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "address")
	number := flag.Int("loops", 0, "how many; 0: one a core")
	profile := flag.String("pprof", "", "address of net/http/pprof")
	flag.Parse()
	if *profile != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(*profile, nil)) }()
	}
	if err := run(*address, *number); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(address string, number int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	loops := netloop.New(netloop.Options{Loops: number})
	if err := loops.Start(ctx); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	_, err = loops.Listen(ln, func(in *netloop.Incoming) {
		c := &client{}
		c.timer.Init(in.Loop(), c)
		if in.Open(&c.Socket, c) == nil {
			c.timer.Reset(idle)
		}
	}, nil)
	if err != nil {
		return err
	}
	loops.Wait()
	for _, l := range loops.All() {
		fmt.Printf("%+v\n", l.Counters())
	}
	return nil
}
