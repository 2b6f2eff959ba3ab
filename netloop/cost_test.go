package netloop

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"unsafe"
)

// TestSizes limits the sizes of structs of which every connection has at least one.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Socket{}); n > 104 {
		t.Errorf("a socket has %d bytes", n)
	}
	if n := unsafe.Sizeof(Timer{}); n > 40 {
		t.Errorf("a timer has %d bytes", n)
	}
}

// TestExchangeAllocatesNothing: reading, setting a timer and writing do not allocate.
func TestExchangeAllocatesNothing(t *testing.T) {
	if portable {
		t.Skip("a goroutine for each write")
	}
	serverConfig, clientConfig := certificates(t)
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		ls := startLoops(t, Options{Loops: 1})
		address := serve(t, ls, func(c *conn) {
			end := func(c *conn) { c.timer.Stop(); c.Close() }
			c.expired = end
			c.ready = func(c *conn, e Events) {
				c.timer.Reset(patience)
				for {
					b := c.Loop().Scratch()
					n, err := c.Read(b)
					if err == ErrWouldBlock {
						return
					}
					if err != nil {
						end(c)
						return
					}
					if written, err := c.Write(b[:n], nil); written < n {
						t.Errorf("wrote %d of %d, %v", written, n, err)
					}
				}
			}
			if secure {
				c.ServerTLS(serverConfig, patience)
			}
		})
		var peer net.Conn = dial(t, address)
		if secure {
			peer = tls.Client(peer, clientConfig)
		}
		b := make([]byte, 1024)
		n := testing.AllocsPerRun(500, func() {
			peer.Write(b)
			if _, err := io.ReadFull(peer, b); err != nil {
				t.Error(err)
			}
		})
		// crypto/tls allocates a reader for each read of the socket, on both sides.
		if limit := map[bool]float64{false: 0.5, true: 7}[secure]; n > limit {
			t.Errorf("%s: %v allocations for each exchange", name, n)
		}
		t.Logf("%s: %v", name, n)
	}
}
