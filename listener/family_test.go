package listener

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
)

// needIPv6 skips a test if loopback has no IPv6.
func needIPv6(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	ln.Close()
}

// TestFamilies: which IP versions a listener serves depends only on its address.
func TestFamilies(t *testing.T) {
	needIPv6(t)
	for _, c := range []struct {
		address    string
		ipv6Only   bool
		ipv4, ipv6 bool
	}{
		{":0", false, true, true},
		{"[::]:0", false, true, true},
		{"[::]:0", true, false, true},
		{"0.0.0.0:0", false, true, false},
		{"[::ffff:0.0.0.0]:0", false, true, false},
		{"127.0.0.1:0", false, true, false},
		{"[::1]:0", false, false, true},
		{"[::1]:0", true, false, true},
		{"localhost:0", false, true, false},
	} {
		s := start(t, Options{Handler: peerOf, Listeners: []ListenerOptions{{Address: c.address, IPv6Only: c.ipv6Only}}})
		_, port, _ := net.SplitHostPort(s.Listeners()[0].Addr().String())
		for host, served := range map[string]bool{"127.0.0.1": c.ipv4, "::1": c.ipv6} {
			nc, err := net.Dial("tcp", net.JoinHostPort(host, port))
			if !served && errors.Is(err, syscall.ECONNREFUSED) {
				continue
			}
			if err != nil {
				t.Errorf("%s (IPv6 alone: %v): %v", c.address, c.ipv6Only, err)
				continue
			}
			client := newClient(t, nc)
			client.send("GET / HTTP/1.0\r\n\r\n")
			response, _ := io.ReadAll(client.r)
			if strings.HasSuffix(string(response), "\n"+nc.LocalAddr().String()) != served { // another program may have the port of the other version
				t.Errorf("%s (IPv6 alone: %v) through %s: %q", c.address, c.ipv6Only, host, response)
			}
		}
	}
}

// TestPassedFamilies: a socket that another process opened must serve what the configuration says.
func TestPassedFamilies(t *testing.T) {
	needIPv6(t)
	for _, c := range []struct {
		network, bound string
		address        string
		ipv6Only       bool
		problem        string // "": it is taken
	}{
		{"tcp", "[::]:0", ":0", false, ""},
		{"tcp", "[::]:0", "[::]:0", false, ""},
		{"tcp6", "[::]:0", "[::]:0", true, ""},
		{"tcp4", "0.0.0.0:0", "0.0.0.0:0", false, ""},
		{"tcp", "[::]:0", "0.0.0.0:0", false, "serves IPv4 and IPv6, and listen \"0.0.0.0:0\" is for IPv4 alone"},
		{"tcp", "[::]:0", "[::]:0", true, "is for IPv6 alone"},
		{"tcp6", "[::]:0", "[::]:0", false, "serves IPv6 alone"},
		{"tcp6", "[::]:0", ":0", false, "serves IPv6 alone"},
		{"tcp4", "0.0.0.0:0", ":0", false, "serves IPv4 alone"},
	} {
		ln, err := net.Listen(c.network, c.bound)
		if err != nil {
			t.Fatal(err)
		}
		s := prepare(t, Options{Listeners: []ListenerOptions{{Address: c.address, IPv6Only: c.ipv6Only}},
			Inherited: map[string]net.Listener{c.address: ln}})
		err = s.Listen()
		var failed *BindError
		if c.problem == "" && err != nil || c.problem != "" && (!errors.As(err, &failed) || !strings.Contains(err.Error(), c.problem)) {
			t.Errorf("%s %s for %s (IPv6 alone: %v): %v", c.network, c.bound, c.address, c.ipv6Only, err)
		}
		ln.Close()
	}
}

// TestIPv6OnlyStays: a reload cannot change it, says so, and changes nothing.
func TestIPv6OnlyStays(t *testing.T) {
	needIPv6(t)
	o := Options{Listeners: []ListenerOptions{{Address: "[::]:0"}}}
	s := start(t, o)
	o.Listeners = []ListenerOptions{{Address: "[::]:0", IPv6Only: true}}
	var failed *BindError
	if err := s.Apply(o); !errors.As(err, &failed) || !strings.Contains(err.Error(), "ipv6_only") {
		t.Errorf("%v", err)
	}
	c := dial(t, s)
	c.send(ok + "\r\n")
	c.expect("GET / ")
}
