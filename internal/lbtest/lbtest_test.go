package lbtest

import (
	"io"
	"net"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackendReadsExactBytes(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
		type request struct{ head, body string }
		got := make(chan request, 4)
		b := NewBackendOn(t, address, func(c *Conn) {
			for {
				head, body := c.ReadRequest()
				got <- request{head, body}
				if head == "" {
					return
				}
				c.SendPieces(OK("hello"), 3)
			}
		})
		c := Dial(t, b.Addr)
		for _, want := range []request{
			{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
			{"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\n", "abc"},
		} {
			c.Send(want.head + want.body)
			if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != "hello" || r.Err != nil {
				t.Errorf("response %+v", r)
			}
			if r, _ := Wait(t, "a request", got); r != want {
				t.Errorf("the backend read %+v, want %+v", r, want)
			}
		}
		c.Send("GET / HTTP/1.1\r\nHo")
		c.CloseWrite()
		if r, _ := Wait(t, "the end", got); r != (request{}) {
			t.Errorf("half a request was read as %+v", r)
		}
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("the connection continued with %q, orderly %v", rest, orderly)
		}
		if n := b.Conns.Load(); n != 1 {
			t.Errorf("%d connections were counted", n)
		}
	}
}

func TestResponsesThatAreCut(t *testing.T) {
	for _, response := range []string{
		"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	} {
		b := NewBackend(t, func(c *Conn) { c.ReadRequest(); c.Send(response) })
		c := Dial(t, b.Addr)
		c.Send("GET / HTTP/1.1\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Err == nil {
			t.Errorf("%q was read as whole: %+v", response, r)
		}
	}
}

func TestResetAndKillAreAbrupt(t *testing.T) {
	b := NewBackend(t, func(c *Conn) { c.ReadHead(); c.Reset() })
	c := Dial(t, b.Addr)
	c.Send("GET / HTTP/1.1\r\n\r\n")
	if _, orderly := c.Ended(); orderly {
		t.Error("a reset looks orderly")
	}
	ready := make(chan bool)
	killed := NewBackend(t, func(c *Conn) { ready <- true; _, _ = io.Copy(io.Discard, c) })
	c = Dial(t, killed.Addr)
	Wait(t, "the script", ready)
	killed.Kill()
	if _, orderly := c.Ended(); orderly {
		t.Error("a killed backend ends its connections in order")
	}
	if nc := TryDial(killed.Addr); nc != nil {
		nc.Close()
		t.Error("a killed backend still listens")
	}
}

// A failed Expect must fail the test that uses it.
func TestExpectFails(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	go func() { _, _ = io.WriteString(b, "got"); b.Close() }()
	inner := &recorder{TB: t}
	if newConn(a).Expect(inner, "wan") || inner.errors != 1 {
		t.Errorf("%d errors", inner.errors)
	}
}

type recorder struct {
	testing.TB
	errors int
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.errors++ }
