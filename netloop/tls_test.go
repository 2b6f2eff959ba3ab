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

// TestTLS: both sides on loops, or one with crypto/tls alone, in both versions, with full and resumed handshakes.
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
			// With the client on a loop, which relays for a plain one.
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
						t.Errorf("events %b, %v", e, b.Err())
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

// direction is one direction of a relay.
type direction struct {
	from, to    *conn
	pending     []byte
	ended, done bool
}

// move relays what there is. It returns false if the relay is broken.
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

// relay forwards bytes and ends between two sockets of one loop.
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
	events := make(happened, 1000)
	opened := make(chan *conn, 1)
	address := serve(t, ls, func(c *conn) {
		c.ready = events.ready
		opened <- c
		c.ServerTLS(serverConfig, patience)
	})
	peer := tls.Client(dial(t, address), clientConfig)
	if err := peer.Handshake(); err != nil {
		t.Fatal(err)
	}
	c := wait(t, opened, "the connection")
	if e := events.until(t, Secured); e&Failed != 0 {
		t.Fatalf("events %b", e)
	}
	return c, peer, events
}

// TestTLSEnds: an end with close_notify is distinguished from one without, in both directions, and a connection can be half-closed.
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
		c, peer, events := secured(t, ls)
		peer.Write([]byte("bytes"))
		test.end(peer)
		var all []byte
		var err error
		for err == nil || err == ErrWouldBlock {
			var some []byte
			on(t, l, func() { some, err = readAll(c) })
			if all = append(all, some...); err == ErrWouldBlock {
				events.until(t, Readable)
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
	// A reset has no close_notify.
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
	c, peer, events := secured(t, ls)
	idle := func() {
		t.Helper()
		eventually(t, "nothing is buffered", func() (none bool) {
			on(t, l, func() { none = c.Buffered() == 0 })
			return none
		})
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
	events.until(t, Readable)
	idle()
	peer.NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}) // the first bytes of a record
	events.until(t, Readable)
	idle()
	on(t, l, c.Reset)
}

// TestTLSBackPressure: encrypted output is limited, waits in a buffer of its size, and is sent when the peer reads.
func TestTLSBackPressure(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := secured(t, ls)
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
		if left := c.tls.pending(); left <= SmallBuffer && l.buffers.lent > SmallBuffer {
			t.Errorf("%d bytes are lent for %d that wait", l.buffers.lent, left)
		}
		if offset == len(content) {
			c.CloseWrite() // after what is buffered
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
		events.until(t, Writable)
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

// TestTLSFails: each failure of a handshake gives one event, and leaves a plain socket if it is not broken.
func TestTLSFails(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	serverConfig, clientConfig := certificates(t)
	timeout := 50 * time.Millisecond
	for name, test := range map[string]struct {
		peer  func(*net.TCPConn)
		check func(error) bool
	}{
		"silent":      {func(*net.TCPConn) {}, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"slow":        {func(c *net.TCPConn) { c.Write([]byte{22, 3, 1}) }, func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }},
		"plain":       {func(c *net.TCPConn) { c.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, isRecordHeader},
		"disconnects": {func(c *net.TCPConn) { c.Write([]byte{22, 3, 1}); c.CloseWrite() }, func(err error) bool { return err != nil }},
		"reset":       {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, func(err error) bool { return err != nil }},
		"distrust":    {func(c *net.TCPConn) { tls.Client(c, &tls.Config{ServerName: "test"}).Handshake() }, func(err error) bool { return err != nil }},
	} {
		events := make(happened, 100)
		opened := make(chan *conn, 1)
		limit := patience
		if name == "silent" || name == "slow" {
			limit = timeout
		}
		address := serve(t, ls, func(c *conn) {
			c.ready = events.ready
			c.ServerTLS(serverConfig, limit)
			opened <- c
		})
		peer := dial(t, address)
		test.peer(peer)
		c := wait(t, opened, name)
		if e := events.until(t, Failed); e&Secured != 0 {
			t.Errorf("%s: events %b", name, e)
		}
		events.none(t, l)
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
	// A client that does not trust the server fails too; one that closes in the middle gets no event.
	address := serve(t, ls, func(c *conn) { echo(c); c.ServerTLS(serverConfig, patience) })
	for _, closes := range []bool{false, true} {
		events := make(happened, 10)
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
			events <- e
		}
		on(t, l, func() {
			if err := l.Dial(&c.Socket, address, c); err != nil {
				t.Error(err)
			}
		})
		events.until(t, Connected)
		if closes {
			events.none(t, l)
			continue
		}
		events.until(t, Failed)
		on(t, l, func() {
			var hostname x509.HostnameError
			if !errors.As(c.Err(), &hostname) {
				t.Error(c.Err())
			}
			c.Close()
		})
	}
}

// TestTLSComputing: no more handshakes compute at a time than Options.Handshakes, not counting those that wait for their peers.
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
	for range 5 { // they never finish
		dial(t, address).Write([]byte{22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3})
	}
	collect(40, func(int) { exchange(t, tls.Client(dial(t, address), clientConfig), 10) })
	if most.Load() > 2 {
		t.Errorf("%d at a time", most.Load())
	}
}

// TestTLSWaitEnds: what a handshake waits for is not waited for any longer than its connection, its timeout and its loop last.
func TestTLSWaitEnds(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1, Handshakes: 1})
	waiting, ended := make(chan struct{}, 4), make(chan struct{}, 4)
	config := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		Wait(hello.Conn, func(end <-chan struct{}) {
			waiting <- struct{}{}
			<-end
		})
		ended <- struct{}{}
		return nil, errors.New("no certificate")
	}}
	opened := make(chan *conn, 4)
	address := serve(t, ls, func(c *conn) {
		c.ready = func(c *conn, _ Events) { c.Close() }
		c.ServerTLS(config, patience)
		opened <- c
	})
	hello := func() (*net.TCPConn, *conn) {
		client := dial(t, address)
		go func() { _ = tls.Client(client, &tls.Config{ServerName: "test"}).Handshake() }()
		wait(t, waiting, "the handshake waits")
		return client, wait(t, opened, "the connection")
	}
	_, c := hello()
	on(t, c.Loop(), func() { c.Close() })
	wait(t, ended, "the end after the socket was closed")
	client, _ := hello()
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	wait(t, ended, "the end after a reset")
	_, c = hello()
	on(t, c.Loop(), func() { c.tls.handshake.Expired(nil) })
	wait(t, ended, "the end after the timeout")
	hello() // until the loop stops, at the end of the test
}

// TestTLSKeyUpdate: the response to a key update is sent although nothing else is written.
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

// exchange sends n bytes and expects them back, and an end.
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

// TestTLSOutput: encrypted bytes that have not been sent are pending, so that nothing is lost if the socket is closed when nothing is
// pending.
func TestTLSOutput(t *testing.T) {
	ls := startLoops(t, Options{Loops: 1})
	l := ls.All()[0]
	c, peer, events := secured(t, ls)
	piece := make([]byte, 1000)
	total := 0
	var out Output
	on(t, l, func() {
		for !out.Pending() {
			n, err := out.Write(&c.Socket, nil, piece, false)
			total += len(piece)
			if err != nil || n == len(piece) && c.Buffered() > 0 && !out.Pending() {
				t.Errorf("encrypted bytes are not pending, %v", err)
				return
			}
		}
	})
	got := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, peer)
		got <- n
	}()
	for pending := true; pending; {
		events.until(t, Writable)
		on(t, l, func() {
			if _, err := out.Flush(&c.Socket); err != nil {
				t.Error(err)
			}
			if pending = out.Pending(); !pending {
				c.Close()
			}
		})
	}
	if n := wait(t, got, "the bytes"); n != int64(total) {
		t.Errorf("%d bytes came of %d", n, total)
	}
}
