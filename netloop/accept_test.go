package netloop

import (
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestSpread: new connections are spread evenly over the loops, whether they stay open or not, and with one client or many.
func TestSpread(t *testing.T) {
	for name, clients := range map[string]int{"one client": 1, "many clients": 512} {
		t.Run(name, func(t *testing.T) {
			ls := startLoops(t, Options{Loops: 4})
			got := make([]atomic.Int64, 4)
			address := serve(t, ls, func(c *conn) {
				got[c.Loop().Index()].Add(1)
				echo(c)
			})
			talk := func(c *net.TCPConn) {
				b := []byte("x")
				c.Write(b)
				if _, err := io.ReadFull(c, b); err != nil {
					t.Error(err)
				}
			}
			check := func(kind string, total, slack int64) {
				for i := range got {
					if n := got[i].Swap(0); n < total/4-slack || n > total/4+slack {
						t.Errorf("%s: loop %d got %d of %d", kind, i, n, total)
					}
				}
			}
			const short = 1024
			collect(clients, func(int) {
				for range short / clients {
					c := dial(t, address)
					talk(c)
					c.Close()
				}
			})
			check("short", short, short/8) // a loop that is slow to close gets fewer
			eventually(t, "all are closed", func() bool {
				n := int64(0)
				for _, l := range ls.All() {
					n += l.open.Load()
				}
				return n == 0
			})
			var kept sync.Map
			collect(clients, func(i int) {
				for k := range 512 / clients {
					c := dial(t, address)
					talk(c)
					kept.Store([2]int{i, k}, c)
				}
			})
			check("kept", 512, 512/16)
			kept.Range(func(_, c any) bool { c.(*net.TCPConn).Close(); return true })
		})
	}
}

// TestSpreadEvensOut: a loop whose connections have closed gets the next ones.
func TestSpreadEvensOut(t *testing.T) {
	ls := startLoops(t, Options{Loops: 4})
	got := make(chan *conn, 1)
	address := serve(t, ls, func(c *conn) { echo(c); got <- c })
	peers := map[int][]*net.TCPConn{}
	open := func() int {
		peer := dial(t, address)
		loop := wait(t, got, "a connection").Loop().Index()
		peers[loop] = append(peers[loop], peer)
		return loop
	}
	for range 64 {
		open()
	}
	for _, peer := range peers[1] {
		peer.Close()
	}
	eventually(t, "they are closed", func() bool { return ls.All()[1].open.Load() == 0 })
	others := 0
	for range 12 {
		if open() != 1 {
			others++
		}
	}
	if others > 2 {
		t.Errorf("%d of 12 went to other loops", others)
	}
}

// TestCloseListener: Close accepts the connections that the kernel has queued, and the socket can be passed on before.
func TestCloseListener(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		ls := startLoops(t, Options{Loops: 2})
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(t.TempDir(), "s")
		}
		ln, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		listener := listen(t, ls, ln, echo)
		if listener.Addr() != ln.Addr() {
			t.Error(listener.Addr())
		}
		file, err := listener.File()
		if err != nil {
			t.Fatal(err)
		}
		var conns [3 * 64 * 2]net.Conn // more than the loops accept at a time
		// While they are blocked, the loops cannot accept before Close is called.
		release := make(chan struct{})
		var held sync.WaitGroup
		for _, l := range ls.All() {
			held.Add(1)
			l.Post(TaskFunc(func() { held.Done(); <-release }))
		}
		held.Wait()
		for i := range conns {
			if conns[i], err = net.Dial(network, ln.Addr().String()); err != nil {
				t.Fatal(err)
			}
			defer conns[i].Close()
		}
		closed := make(chan struct{})
		go func() { defer close(closed); listener.Close(); listener.Close() }()
		close(release)
		wait(t, closed, "the listener's end")
		for _, c := range conns {
			c.Write([]byte("x"))
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Errorf("%s: %v", network, err)
			}
		}
		if _, err := listener.File(); err == nil {
			t.Error("a closed listener has a file")
		}
		// The duplicate still serves.
		inherited, err := net.FileListener(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		second := listen(t, ls, inherited, echo)
		c, err := net.Dial(network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("y"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Errorf("%s, inherited: %v", network, err)
		}
		c.Close()
		second.Close()
		if c, err := net.Dial(network, ln.Addr().String()); err == nil {
			c.Close()
			t.Errorf("%s: connected after the end", network)
		}
	}
}

// TestRefuse: a connection that accept does not open is closed.
func TestRefuse(t *testing.T) {
	ls := startLoops(t, Options{Loops: 2})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	if _, err := ls.Listen(ln, func(in *Incoming) {
		if n.Add(1)%2 == 0 {
			in.Close()
		}
		if !in.Peer().IsValid() {
			t.Error("no address")
		}
	}, nil); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		c := dial(t, ln.Addr().(*net.TCPAddr).AddrPort())
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	}
}
