package netloop

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// certificates returns configurations of two sides that trust each other.
func certificates(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"test"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: roots, ServerName: "test"}
}

// TestTLS: both sides on loops, or one of crypto/tls alone, in both versions, with full and with resumed handshakes.
func TestTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			serverConfig, clientConfig := certificates(t)
			serverConfig.MaxVersion, clientConfig.MaxVersion = version, version
			clientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(10)
			ls := startLoops(t, Options{Loops: 2})
			address := serve(t, ls, func(c *conn) {
				echo(c)
				c.ServerTLS(serverConfig, patience)
			})
			resumed := 0
			for i := range 6 {
				c := tls.Client(dial(t, address), clientConfig)
				exchange(t, c, i*100_000+1)
				if c.ConnectionState().DidResume {
					resumed++
				}
			}
			if resumed < 4 {
				t.Errorf("%d handshakes were resumed", resumed)
			}
			// And with the client on a loop, which relays for a plain one.
			plain := serve(t, ls, func(c *conn) {
				back := &conn{}
				c.ready = func(c *conn, e Events) {
					if e&Failed != 0 {
						c.Close()
						back.Close()
					}
				}
				back.ready = func(b *conn, e Events) {
					if e&Connected == 0 {
						t.Errorf("told %b, %v", e, b.Err())
						return
					}
					relay(c, b)
					b.ClientTLS(clientConfig, patience)
				}
				if err := c.Loop().Dial(&back.Socket, address, back); err != nil {
					t.Error(err)
				}
			})
			collect(6, func(i int) { exchange(t, dial(t, plain), i*100_000+1) })
		})
	}
}

// direction is one of a relay's.
type direction struct {
	from, to    *conn
	pending     []byte
	ended, done bool
}

// move reports whether nothing is broken.
func (d *direction) move() bool {
	for {
		for len(d.pending) > 0 {
			n, err := d.to.Write(d.pending, nil)
			if err != nil {
				return err == ErrWouldBlock
			}
			d.pending = d.pending[n:]
		}
		if d.ended {
			if !d.done {
				d.done = true
				return d.to.CloseWrite() == nil
			}
			return true
		}
		b := d.from.Loop().Scratch()
		n, err := d.from.Read(b)
		switch err {
		case nil:
			d.pending = append([]byte(nil), b[:n]...)
		case ErrWouldBlock:
			return true
		case io.EOF:
			d.ended = true
		default:
			return false
		}
	}
}

// relay passes bytes and ends on between two sockets of one loop.
func relay(a, b *conn) {
	there, back := &direction{from: a, to: b}, &direction{from: b, to: a}
	ready := func(_ *conn, e Events) {
		ok := e&Failed == 0 && there.move() && back.move()
		if !ok || there.done && back.done && a.Buffered() == 0 && b.Buffered() == 0 {
			a.Close()
			b.Close()
		}
	}
	a.ready, b.ready = ready, ready
}

// secured is a connection on a loop after the handshake, and the peer of crypto/tls.
func secured(t *testing.T, ls *Loops) (*conn, *tls.Conn, happened) {
	t.Helper()
	serverConfig, clientConfig := certificates(t)
	told := make(happened, 1000)
	opened := make(chan *conn, 1)
	address := serve(t, ls, func(c *conn) {
		c.ready = told.ready
		opened <- c
		c.ServerTLS(serverConfig, patience)
	})
	peer := tls.Client(dial(t, address), clientConfig)
	if err := peer.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := wait(t, opened, "the connection")
	if e := told.until(t, Secured); e&Failed != 0 {
		t.Fatalf("told %b", e)
	}
	return c, peer, told
}

// TestTLSEnds: an end that is said is told from one that is not, both ways, and half of a connection can end alone.
func TestTLSEnds(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	for name, test := range map[string]struct {
		end  func(*tls.Conn)
		want error
	}{
		"said":      {func(c *tls.Conn) { c.CloseWrite() }, io.EOF},
		"not said":  {func(c *tls.Conn) { c.NetConn().(*net.TCPConn).CloseWrite() }, io.ErrUnexpectedEOF},
		"no record": {func(c *tls.Conn) { c.NetConn().Write([]byte("no record at all")) }, nil},
	} {
		c, peer, told := secured(t, ls)
		peer.Write([]byte("bytes"))
		test.end(peer)
		var all []byte
		var err error
		for err == nil || err == ErrWouldBlock {
			var some []byte
			on(t, l, func() { some, err = readAll(c) })
			if all = append(all, some...); err == ErrWouldBlock {
				told.until(t, Readable)
			}
		}
		if string(all) != "bytes" || test.want != nil && err != test.want || err == nil {
			t.Errorf("%s: %q, %v", name, all, err)
		}
		if test.want == nil {
			on(t, l, c.Close)
			continue
		}
		on(t, l, func() {
			if n, err := c.Write([]byte("back"), nil); n != 4 || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			c.Close()
		})
		if got, err := io.ReadAll(peer); string(got) != "back" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// A reset says nothing.
	c, peer, _ := secured(t, ls)
	on(t, l, c.Reset)
	if _, err := io.ReadAll(peer); err == nil {
		t.Error("an end without having been said")
	}
}

// TestTLSIdle: a connection that waits for bytes, or in the middle of a record, holds no buffer.
func TestTLSIdle(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, told := secured(t, ls)
	idle := func() {
		t.Helper()
		on(t, l, func() {
			if _, err := readAll(c); err != ErrWouldBlock {
				t.Error(err)
			}
			if l.buffers.lent != 0 || c.Buffered() != 0 {
				t.Errorf("%d bytes are lent, %d buffered", l.buffers.lent, c.Buffered())
			}
			if c.CanRead() || !c.CanWrite() {
				t.Errorf("can read: %v, write: %v", c.CanRead(), c.CanWrite())
			}
		})
	}
	idle()
	peer.Write([]byte("x"))
	told.until(t, Readable)
	idle()
	peer.NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}) // the first bytes of a record
	told.until(t, Readable)
	idle()
	on(t, l, c.Reset)
}

// TestTLSBackPressure: what is encrypted and not taken is bounded, and goes out when the peer reads.
func TestTLSBackPressure(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, told := secured(t, ls)
	name := filepath.Join(t.TempDir(), "file")
	content := make([]byte, 8<<20)
	rand.Read(content)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	offset := 0
	send := func() {
		for offset < len(content) {
			n, err := c.SendFile(file, int64(offset), len(content)-offset)
			if err == ErrWouldBlock {
				break
			}
			if err != nil {
				t.Error(err)
				break
			}
			offset += n
		}
		if got := c.Buffered(); got > LargeBuffer+portBound {
			t.Errorf("%d bytes are buffered", got)
		}
		if offset == len(content) {
			c.CloseWrite() // behind what is buffered
		}
	}
	on(t, l, send)
	if offset == len(content) {
		t.Fatal("all of it was taken")
	}
	got := make(chan error, 1)
	go func() {
		all, err := io.ReadAll(peer)
		if err == nil && !bytes.Equal(all, content) {
			err = errors.New("other bytes")
		}
		got <- err
	}()
	for offset < len(content) {
		told.until(t, Writable)
		on(t, l, send)
	}
	if err := wait(t, got, "the file"); err != nil {
		t.Error(err)
	}
	eventually(t, "nothing is buffered", func() (none bool) {
		on(t, l, func() { none = c.Buffered() == 0 })
		return none
	})
	on(t, l, c.Close)
}

// TestTLSFails: each way in which a handshake fails is told once, and leaves a socket that speaks plainly if it is not broken.
func TestTLSFails(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	serverConfig, clientConfig := certificates(t)
	timeout := 50 * time.Millisecond
	for name, test := range map[string]struct {
		peer  func(*net.TCPConn)
		check func(error) bool
	}{
		"silent":   {func(*net.TCPConn) {}, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"slow":     {func(c *net.TCPConn) { c.Write([]byte{22, 3, 1}) }, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"plain":    {func(c *net.TCPConn) { c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, isRecordHeader},
		"gone":     {func(c *net.TCPConn) { c.Write([]byte{22, 3, 1}); c.CloseWrite() }, func(err error) bool { return err != nil }},
		"reset":    {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, func(err error) bool { return err != nil }},
		"distrust": {func(c *net.TCPConn) { tls.Client(c, &tls.Config{ServerName: "test"}).Handshake() }, func(err error) bool { return err != nil }},
	} {
		told := make(happened, 100)
		opened := make(chan *conn, 1)
		limit := patience
		if name == "silent" || name == "slow" {
			limit = timeout
		}
		address := serve(t, ls, func(c *conn) {
			c.ready = told.ready
			c.ServerTLS(serverConfig, limit)
			opened <- c
		})
		peer := dial(t, address)
		test.peer(peer)
		c := wait(t, opened, name)
		if e := told.until(t, Failed); e&Secured != 0 {
			t.Errorf("%s: told %b", name, e)
		}
		told.none(t, l)
		on(t, l, func() {
			if !test.check(c.Err()) {
				t.Errorf("%s: %v", name, c.Err())
			}
			if name == "plain" {
				if n, err := c.Write([]byte("400"), nil); n != 3 || err != nil {
					t.Errorf("%s: %d, %v", name, n, err)
				}
			}
			c.CloseWrite()
		})
		if name == "plain" {
			if got, _ := io.ReadAll(peer); !bytes.HasSuffix(got, []byte("400")) {
				t.Errorf("%q", got)
			}
		}
		on(t, l, c.Close)
	}
	// A client that does not trust the server fails too; one that closes in the middle is told nothing.
	address := serve(t, ls, func(c *conn) { echo(c); c.ServerTLS(serverConfig, patience) })
	for _, closes := range []bool{false, true} {
		told := make(happened, 10)
		c := &conn{}
		c.ready = func(c *conn, e Events) {
			if e&Connected != 0 {
				config := clientConfig.Clone()
				config.ServerName = "other"
				c.ClientTLS(config, patience)
				if closes {
					c.Close()
				}
			}
			told <- e
		}
		on(t, l, func() {
			if err := l.Dial(&c.Socket, address, c); err != nil {
				t.Error(err)
			}
		})
		told.until(t, Connected)
		if closes {
			told.none(t, l)
			continue
		}
		told.until(t, Failed)
		on(t, l, func() {
			var hostname x509.HostnameError
			if !errors.As(c.Err(), &hostname) {
				t.Error(c.Err())
			}
			c.Close()
		})
	}
}

// TestTLSComputing: no more handshakes compute at a time than asked for, and those that wait for their peers keep nobody from it.
func TestTLSComputing(t *testing.T) {
	ls := startLoops(t, Options{Loops: 2, Handshakes: 2})
	serverConfig, clientConfig := certificates(t)
	certificate := &serverConfig.Certificates[0]
	var now, most atomic.Int64
	serverConfig = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		n := now.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		runtime.Gosched()
		now.Add(-1)
		return certificate, nil
	}}
	address := serve(t, ls, func(c *conn) { echo(c); c.ServerTLS(serverConfig, patience) })
	for range 5 { // they never finish what they have begun
		dial(t, address).Write([]byte{22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3})
	}
	collect(40, func(int) { exchange(t, tls.Client(dial(t, address), clientConfig), 10) })
	if most.Load() > 2 {
		t.Errorf("%d at a time", most.Load())
	}
}

// TestTLSKeyUpdate: keys change in the middle of a connection, and the answer to that goes out although nothing else is written.
func TestTLSKeyUpdate(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl, and crypto/tls does not ask for new keys")
	}
	ls := startLoops(t, Options{Loops: 1})
	serverConfig, _ := certificates(t)
	address := serve(t, ls, func(c *conn) { echo(c); c.ServerTLS(serverConfig, patience) })
	client := exec.Command("openssl", "s_client", "-tls1_3", "-connect", address.String())
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	client.Stderr = client.Stdout
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { client.Process.Kill() })
	defer kill.Stop()
	defer client.Wait()
	defer client.Process.Kill()
	lines := bufio.NewScanner(out)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("no %q", want)
	}
	for i := range 5 {
		line := fmt.Sprintf("line %d", i)
		fmt.Fprintf(in, "%s\n", line)
		until(line)
		fmt.Fprint(in, "K\n") // new keys for both sides
		until("KEYUPDATE")
	}
}

func isRecordHeader(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header)
}

// exchange sends n bytes and wants them back, and an end.
func exchange(t testing.TB, c interface {
	net.Conn
	CloseWrite() error
}, n int) {
	t.Helper()
	sent := make([]byte, n)
	rand.Read(sent)
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		if err == nil {
			err = c.CloseWrite()
		}
		written <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, %v", len(got), n, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
