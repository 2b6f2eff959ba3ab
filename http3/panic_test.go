package http3

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	client "github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"

	"lb/internal/lbtest"
	"lb/message"
	"lb/netloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveFunc is a Handler.
type serveFunc struct {
	serve    func(*Stream)
	panicked atomic.Int64
}

func (h *serveFunc) Serve(s *Stream)         { h.serve(s) }
func (h *serveFunc) Refused(*Conn, *Refusal) {}
func (h *serveFunc) Panicked(any)            { h.panicked.Add(1) }

// plain is a Stream as an exchange that ends when it can.
type plain Stream

func (p *plain) BodyReady()         {}
func (p *plain) Flushed()           { (*Stream)(p).End() }
func (p *plain) Disconnected(error) { (*Stream)(p).End() }

// stays is the Owner of a connection.
type stays struct{}

func (stays) Retiring() bool { return false }
func (stays) Closed()        {}

// serve returns a client of a connection whose requests h serves.
func serve(t *testing.T, h Handler) *client.ClientConn {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	loops := netloop.New(netloop.Options{Loops: 1})
	if err := loops.Start(ctx); err != nil {
		t.Fatal(err)
	}
	listener, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{lbtest.SelfSigned(t)}, NextProtos: []string{"h3"}},
		&quic.Config{RequireStreamCreditRelease: true})
	if err != nil {
		t.Fatal(err)
	}
	settings := &Settings{Handler: h, Limits: Limits{HeaderSize: 1 << 14, HeaderFields: 100, HeaderTimeout: time.Minute, BodyIdleTimeout: time.Minute, IdleTimeout: time.Minute}}
	served := make(chan bool)
	go func() {
		defer close(served)
		if conn, err := listener.Accept(ctx); err == nil {
			New(&Worker{Loop: loops.All()[0]}, conn, settings, stays{}, nil).Serve()
		}
	}()
	conn, err := quic.DialAddr(ctx, listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &client.Transport{}
	t.Cleanup(func() {
		_ = conn.CloseWithError(0x100, "")
		lbtest.Wait(t, "the end of the connection", served)
		_ = transport.Close()
		_ = listener.Close()
		stop()
		loops.Wait()
	})
	return transport.NewClientConn(conn)
}

// TestPanic: a panic while a request is served, on the loop or in a goroutine of its stream, ends that request alone.
func TestPanic(t *testing.T) {
	h := &serveFunc{serve: func(s *Stream) {
		s.Exchange = (*plain)(s)
		switch string(s.Request().Target) {
		case "/loop":
			panic("test")
		case "/goroutine":
			s.Respond(&message.Response{Status: 200, Length: 10}, nil, false, false)
			s.SendFile(&os.File{}, 0, 10) // which panics when it is read
		default:
			s.Respond(&message.Response{Status: 200, Length: 2}, []byte("ok"), true, true)
			s.End()
		}
	}}
	c := serve(t, h)
	get := func(path string) (status int, err error) {
		r, err := http.NewRequest("GET", "https://"+net.JoinHostPort("a.test", "443")+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.RoundTrip(r)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = io.ReadAll(response.Body)
		return response.StatusCode, err
	}
	if status, err := get("/loop"); status != 500 || err != nil {
		t.Errorf("a panic on the loop: %d, %v", status, err)
	}
	if _, err := get("/goroutine"); err == nil {
		t.Error("a panic in a goroutine leaves a response that seems to be whole")
	}
	if status, err := get("/"); status != 200 || err != nil {
		t.Errorf("the connection after it: %d, %v", status, err)
	}
	if n := h.panicked.Load(); n != 2 {
		t.Errorf("%d panics", n)
	}
}
