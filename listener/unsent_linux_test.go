package listener

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lb/http1"
	"lb/message"
)

// large is an exchange that sends a large response. It reports how much the kernel had buffered at the end, and the limit for that
// when the socket was first full and after the last byte.
type large struct {
	exchange
	sent        chan int64
	first, last chan int
}

func (x *large) unsentLimit() int {
	limit, _ := unix.GetsockoptInt(x.s.Conn().Socket().Descriptor(), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	return limit
}

func (x *large) Moved() {}

func (x *large) Flushed() {
	x.last <- x.unsentLimit()
	x.Disconnected(nil)
}

func (x *large) Disconnected(error) {
	x.sent <- x.s.Sent()
	x.s.End()
}

// TestUnsent: a client that does not read uses little kernel memory, on lb's own sockets and on inherited ones; for one that reads
// the kernel buffers as much as by default.
func TestUnsent(t *testing.T) {
	if portable {
		t.Skip("there is no descriptor to ask")
	}
	const size = 16 << 20
	body := make([]byte, size)
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as other programs open them
	inherited, err := plain.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"own":       {},
		"inherited": {Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}}, Inherited: map[string]net.Listener{"127.0.0.1:0": inherited}},
	} {
		t.Run(name, func(t *testing.T) {
			sent, first, last := make(chan int64, 1), make(chan int, 1), make(chan int, 1)
			o.Limits.BodyIdleTimeout = 300 * time.Millisecond
			o.Handler = func(s *http1.Stream) {
				x := &large{exchange{s: s}, sent, first, last}
				s.Exchange = x
				r := message.Response{Status: 200}
				r.SetLength(size)
				if s.Respond(&r, body, true, true) {
					t.Error("the socket took everything at once")
				}
				first <- x.unsentLimit()
			}
			s := start(t, o)

			idle := dial(t, s)
			// Limits what the client's kernel buffers, which is not tested here.
			if err := idle.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			idle.send(ok + "\r\n")
			if n := <-sent; n == 0 || n > 1<<20 {
				t.Errorf("the kernel took %d bytes for a client that reads nothing", n)
			}
			if limit := <-first; limit != firstUnsent {
				t.Errorf("it is to take up to %d at first, want %d", limit, firstUnsent)
			}

			reading := dial(t, s)
			reading.send(ok + "\r\n")
			if _, err := io.CopyN(io.Discard, reading.r, size); err != nil {
				t.Fatal(err)
			}
			if n := <-sent; n < size {
				t.Errorf("only %d bytes were sent to a client that reads", n)
			}
			if limit := <-last; limit <= firstUnsent {
				t.Errorf("it is to take up to %d for a client that reads", limit)
			}
		})
	}
}
