package front

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// starved fails to accept for lack of descriptors now and then.
type starved struct {
	*net.TCPListener
	calls atomic.Int32
}

func (s *starved) Accept() (net.Conn, error) {
	if n := s.calls.Add(1); n%4 != 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}[n%3])}
	}
	return s.TCPListener.Accept()
}

func TestAcceptSurvivesLackOfDescriptors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	log := hclog.New(&hclog.LoggerOptions{Output: &lines, Level: hclog.Info})
	f := start(t, Options{Log: log, Listeners: []ListenerOptions{{Address: "x:1"}},
		Inherited: map[string]net.Listener{"x:1": &starved{TCPListener: ln.(*net.TCPListener)}}})
	for range 3 {
		c := dial(t, f)
		c.send("GET / HTTP/1.0\r\n\r\n")
		c.expect("GET / ")
		c.closed()
	}
	shutdown(t, f)
	warned := strings.Count(lines.String(), "[WARN]")
	if again := strings.Count(lines.String(), "accepting connections again"); again != 3 || warned < 3 || warned > 4 {
		t.Errorf("%d warnings for 3 episodes that ended %d times:\n%s", warned, again, lines.String())
	}
}

func TestMaxConnections(t *testing.T) {
	f := start(t, Options{Limits: Limits{MaxConnections: 2}})
	first, second := dial(t, f), dial(t, f)
	for _, c := range []*client{first, second} {
		c.send(ok + "\r\n")
		c.expect("GET / ")
	}
	c := dial(t, f)
	c.send(ok + "\r\n")
	if resp, _ := c.answer("GET"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("third connection: %d %v", resp.StatusCode, resp.Header)
	}
	if got := c.closed(); got != "" {
		t.Errorf("%q", got)
	}
	first.Close()
	eventually(t, func() bool {
		c := dial(t, f)
		defer c.Close()
		c.send("GET / HTTP/1.0\r\n\r\n")
		resp, _ := c.answer("GET")
		return resp.StatusCode == 200
	})
}

func TestMaxConnectionsOverTLSClosesAtOnce(t *testing.T) {
	f := start(t, Options{Limits: Limits{MaxConnections: 1}, Listeners: oneListener(t, true)})
	c := dialMaybeTLS(t, f, true)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	if got := dial(t, f).closed(); got != "" {
		t.Errorf("%q", got)
	}
}

func TestConnectionsPerIP(t *testing.T) {
	f := start(t, Options{Limits: Limits{ConnectionsPerIP: 1}})
	c := dial(t, f)
	c.send(ok + "\r\n")
	c.expect("GET / ")
	over := dial(t, f)
	over.send(ok + "\r\n")
	if resp, _ := over.answer("GET"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d", resp.StatusCode)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	nc, err := d.Dial("tcp", f.Listeners()[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other := newClient(t, nc)
	other.send(ok + "\r\n")
	other.expect("GET / ")
	over.Close()
	c.Close()
	other.Close()
	eventually(t, func() bool {
		f.perIP.mu.Lock()
		defer f.perIP.mu.Unlock()
		return len(f.perIP.addresses) == 0
	})
}

// TestTurnedAwayTakeNoRoom: connections that are told that there is no room for them, and stay, leave room for others.
func TestTurnedAwayTakeNoRoom(t *testing.T) {
	f := start(t, Options{Limits: Limits{ConnectionsPerIP: 1, MaxConnections: 3}})
	from := func(last byte) *client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
		nc, err := d.Dial("tcp", f.Listeners()[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, nc)
	}
	status := func(c *client) int {
		c.send(ok + "\r\n")
		resp, _ := c.answer("GET")
		return resp.StatusCode
	}
	first := from(1)
	if got := status(first); got != 200 {
		t.Fatal(got)
	}
	for range 10 {
		if got := status(from(1)); got != 429 {
			t.Fatalf("another connection of the address: %d", got)
		}
	}
	if a, b := status(from(2)), status(from(3)); a != 200 || b != 200 {
		t.Errorf("connections of other addresses: %d and %d", a, b)
	}
	for range 10 {
		if got := status(from(4)); got != 503 {
			t.Fatalf("a connection too many: %d", got)
		}
	}
	first.Close()
	eventually(t, func() bool { return status(from(5)) == 200 })
}

// TestConnectionsPerIPAfterTheEnd: who has seen the end of its connection may come again at once.
func TestConnectionsPerIPAfterTheEnd(t *testing.T) {
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure), Limits: Limits{ConnectionsPerIP: 1}})
		for i := range 200 {
			c := dialMaybeTLS(t, f, secure)
			c.send("GET / HTTP/1.0\r\n\r\n")
			c.expect("GET / ")
			if got := c.closed(); got != "" {
				t.Fatalf("%d: %q", i, got)
			}
			c.Close()
		}
	}
}

func TestConnectionsAllowedKeepsAReserve(t *testing.T) {
	descriptors, known := descriptorLimit()
	if n := connectionsAllowed(); n < 1 || known && 2*n >= descriptors {
		t.Errorf("%d connections with %d descriptors", n, descriptors)
	}
}

func TestBindErrorsNameTheRemedy(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	os.WriteFile(plain, nil, 0o600)
	served, err := net.Listen("unix", filepath.Join(dir, "served"))
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	for address, want := range map[string]string{
		ln.Addr().String():        "in use",
		"192.0.2.77:0":            "no interface",
		"unix:" + plain:           "no socket",
		"unix:" + dir + "/x/y":    "no such file",
		"unix:" + dir + "/served": "another program answers",
		"nonsense":                "missing port",
	} {
		f := New(Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}, {Address: address}}})
		err := f.Listen()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
		if len(f.Listeners()) != 0 {
			t.Errorf("%s: something was bound", address)
		}
	}
	if err := New(Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0"}}}).Listen(); err == nil {
		t.Error("one address twice was taken")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lb.sock")
	// A run that crashed left its file.
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	f := start(t, Options{Handler: tellPeer, Listeners: []ListenerOptions{{Address: "unix:" + path}}})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != unixMode {
		t.Errorf("%v, %v", info, err)
	}
	c := dial(t, f)
	c.send("GET / HTTP/1.0\r\n\r\n")
	if _, body := c.answer("GET"); body != "invalid AddrPort" {
		t.Errorf("peer %q", body)
	}
	shutdown(t, f)
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket file is still there")
	}
}

// A client that sits in its handshake, or reads nothing, holds nobody else up.
func TestAcceptDoesNotWaitForClients(t *testing.T) {
	f := start(t, Options{Listeners: oneListener(t, true)})
	for range 20 {
		dial(t, f)
	}
	c := dialMaybeTLS(t, f, true)
	c.send(ok + "\r\n")
	c.expect("GET / ")
}
