package listener

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestTroubleIsLoggedOnce: each period in which accepting fails is logged as one warning, and its end as one line.
func TestTroubleIsLoggedOnce(t *testing.T) {
	var lines lockedBuffer
	s := start(t, Options{Log: hclog.New(&hclog.LoggerOptions{Output: &lines, Level: hclog.Info})})
	k := s.sockets["127.0.0.1:0"]
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		for range 3 {
			k.trouble(os.NewSyscallError("accept", errno), 0)
		}
		c := dial(t, s)
		c.send("GET / HTTP/1.0\r\n\r\n")
		c.expect("GET / ")
		c.closed()
	}
	shutdown(t, s)
	text := lines.String()
	if strings.Count(text, "[WARN]") != 3 || strings.Count(text, "accepting connections again") != 3 || strings.Count(text, "limit of open files") != 2 {
		t.Errorf("3 times of trouble:\n%s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
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
		"unix:" + plain:           "not a socket",
		"unix:" + dir + "/x/y":    "no such file",
		"unix:" + dir + "/served": "another program listens",
		"nonsense":                "missing port",
	} {
		s := prepare(t, Options{Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}, {Address: address}}})
		err := s.Listen()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v", address, err)
		}
		if len(s.Listeners()) != 0 {
			t.Errorf("%s: something was bound", address)
		}
	}
	if err := prepare(t, Options{Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0"}}}).Listen(); err == nil {
		t.Error("one address twice was taken")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lb.sock")
	// The file of a process that crashed.
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	old.Close()
	s := start(t, Options{Handler: peerOf, Listeners: []ListenerOptions{{Address: "unix:" + path}}})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != unixMode {
		t.Errorf("%v, %v", info, err)
	}
	c := dial(t, s)
	c.send("GET / HTTP/1.0\r\n\r\n")
	c.expect("invalid AddrPort")
	shutdown(t, s)
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket file is still there")
	}
}

// TestUnixSocketOfAnother: the file of a unix socket stays if another process serves it, and is removed when a socket that was never
// served is closed.
func TestUnixSocketOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lb.sock")
	o := Options{Listeners: []ListenerOptions{{Address: "unix:" + path}}}
	s := prepare(t, o)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	shutdown(t, s)
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of a socket that was never served is still there")
	}
	s = start(t, o)
	s.LeaveFiles()
	shutdown(t, s)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file of a socket that another process serves: %v", err)
	}
}

// TestAcceptDoesNotWaitForClients: a client that pauses in its handshake, or does not read, does not delay others.
func TestAcceptDoesNotWaitForClients(t *testing.T) {
	s := start(t, Options{Listeners: oneListener(t, true)})
	for range 20 {
		dial(t, s)
	}
	c := dialMaybeTLS(t, s, true)
	c.send(ok + "\r\n")
	c.expect("GET / ")
}
