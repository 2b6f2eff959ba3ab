package front

import (
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lb/internal/progress"
)

// TestUnsent: a client that does not read ties up little of the kernel's memory, on sockets of our own and on inherited
// ones; one that reads gets all that the kernel would take by itself.
func TestUnsent(t *testing.T) {
	const size = 16 << 20
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
			taken, limits := make(chan int64, 1), make(chan int, 1)
			o.Limits = Limits{BodyIdleTimeout: 300 * time.Millisecond}
			o.Handler = func(c *Conn) {
				n, _ := reply(c, []byte("HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n"), make([]byte, size))
				limits <- unsentLimit(t, c)
				taken <- n
				c.EndAfter()
			}
			f := start(t, o)

			idle := dial(t, f)
			// So that what is on its way to it, which is no matter of ours, is little too.
			if err := idle.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if n := <-taken; n == 0 || n > 1<<20 {
				t.Errorf("the kernel took %d bytes for a client that reads nothing", n)
			}
			if limit := <-limits; limit != progress.FirstUnsent {
				t.Errorf("it is to take up to %d for a client that reads nothing, want %d", limit, progress.FirstUnsent)
			}

			reading := dial(t, f)
			reading.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if _, err := io.CopyN(io.Discard, reading.r, size); err != nil {
				t.Fatal(err)
			}
			if n := <-taken; n < size {
				t.Errorf("only %d bytes were sent to a client that reads", n)
			}
			if limit := <-limits; limit <= progress.FirstUnsent {
				t.Errorf("it is to take up to %d for a client that reads", limit)
			}
		})
	}
}

// unsentLimit reads TCP_NOTSENT_LOWAT.
func unsentLimit(t *testing.T, c *Conn) (limit int) {
	t.Helper()
	raw, err := c.socket.SyscallConn()
	if err != nil {
		t.Error(err)
		return 0
	}
	controlErr := raw.Control(func(fd uintptr) { limit, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT) })
	if err != nil || controlErr != nil {
		t.Error(err, controlErr)
	}
	return limit
}
