package server_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lb/config"
	"lb/internal/lbtest"
	"lb/server"
)

// freePort returns a port that is free in IPv4 and IPv6.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	ln.Close()
	if ln, err = net.Listen("tcp", "[::]:0"); err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return port
}

// familySite is a configuration that responds with text on the listeners.
func familySite(listeners, text string) string {
	return listeners + "site \"s\" {\n  route \"/\" {\n    respond {\n      body = \"" + text + "\"\n    }\n  }\n}\n"
}

const ipv6Only = "{\n  ipv6_only = true\n}\n"

// serves fails the test unless the port is served, or not, by each version of IP as stated.
func serves(t *testing.T, when, port string, ipv4, ipv6 bool) {
	t.Helper()
	for host, want := range map[string]bool{"127.0.0.1": ipv4, "::1": ipv6} {
		nc, err := net.Dial("tcp", net.JoinHostPort(host, port))
		if err == nil {
			nc.Close()
		}
		if want && err != nil || !want && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %s: %v", when, host, err)
		}
	}
}

// TestListenersOfBothFamilies: IPv4 and IPv6 can have separate listeners on one port, which reloads add and remove. A reload that
// cannot do so names the place and the remedy, and changes nothing.
func TestListenersOfBothFamilies(t *testing.T) {
	port := freePort(t)
	four, six, both := "listen \"0.0.0.0:"+port+"\" {}\n", "listen \"[::]:"+port+"\" "+ipv6Only, "listen \"[::]:"+port+"\" {}\n"
	lb := start(t, familySite(four, "x"))
	serves(t, "IPv4 alone", port, true, false)
	for _, c := range []struct{ what, text, problem string }{
		{"IPv4 becomes both", both, `lb.hcl:1:1: cannot listen on "[::]:` + port + `": this lb itself holds the port, as listen "0.0.0.0:` + port + `"`},
		{"IPv4 becomes both, without a host", "listen \":" + port + "\" {}\n", `as listen "0.0.0.0:` + port + `"`},
		{"IPv4 beside both", four + both, `"[::]" also serves IPv4 unless it has ipv6_only = true`},
	} {
		if err := lb.reload(familySite(c.text, "x")); err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: %v", c.what, err)
		}
		serves(t, c.what, port, true, false)
	}
	if err := lb.reload(familySite(four+six, "x")); err != nil {
		t.Fatal(err)
	}
	serves(t, "one listener each", port, true, true)
	if err := lb.reload(familySite(six, "x")); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "IPv4 is left", func() bool {
		nc, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			nc.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	serves(t, "IPv6 alone", port, false, true)
	if err := lb.reload(familySite(both, "x")); err == nil || !strings.Contains(err.Error(), `lb.hcl:1:1: cannot listen on "[::]:`+port+`": this lb itself holds the port`) ||
		!strings.Contains(err.Error(), "restart") {
		t.Errorf("IPv6 becomes both: %v", err)
	}
	serves(t, "still IPv6 alone", port, false, true)
}

// TestAdminFamilies: the admin listener's address is interpreted like that of a listener.
func TestAdminFamilies(t *testing.T) {
	for host, ipv6 := range map[string]bool{"0.0.0.0": false, "[::]": true, "": true} {
		port := freePort(t)
		start(t, proxyTo("", "127.0.0.1:1")+"admin {\n  listen = \""+host+":"+port+"\"\n  token  = \"0123456789abcdef\"\n}\n")
		serves(t, "admin on "+host, port, true, ipv6)
	}
}

// TestTakeOverFamilies: a socket of the previous process is not taken over if the configuration now has other versions of IP for
// it, or if another listener's socket is in its way.
func TestTakeOverFamilies(t *testing.T) {
	for _, c := range []struct {
		network, bound string // of the socket there is
		listener       string // for it, in the new configuration
		problem        string // "": it is taken over
	}{
		{"tcp", "[::]", "listen \"[::]:PORT\" {}\n", ""},
		{"tcp6", "[::]", "listen \"[::]:PORT\" " + ipv6Only, ""},
		{"tcp4", "0.0.0.0", "listen \"0.0.0.0:PORT\" {}\n", ""},
		{"tcp", "[::]", "listen \"[::]:PORT\" " + ipv6Only, "serves IPv4 and IPv6"},
		{"tcp6", "[::]", "listen \"[::]:PORT\" {}\n", "serves IPv6 alone"},
		{"tcp", "[::]", "listen \"0.0.0.0:PORT\" {}\n", `the process that this one replaces holds the port, as listen "[::]:PORT"`},
	} {
		port := freePort(t)
		ln, err := net.Listen(c.network, c.bound+":"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		ready, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer ready.Close()
		text, _ := json.Marshal(map[string]any{"ready": highDescriptor(t, writer),
			"listeners": map[string]int{c.bound + ":" + port: highDescriptor(t, ln.(*net.TCPListener))}})
		writer.Close()
		t.Setenv("LB_HANDOVER", string(text))
		dir := t.TempDir()
		lb := server.New(server.Options{Load: func() (*config.Config, config.Diagnostics) {
			text := familySite(strings.ReplaceAll(c.listener, "PORT", port), "x") + "admin {\n  listen = \"off\"\n}\nlog {\n  file = \"" + dir + "/lb.log\"\n}\n"
			return config.Parse([]config.Source{{Name: filepath.Join(dir, "lb.hcl"), Text: []byte(text)}})
		}})
		err = lb.Start()
		if err == nil {
			_ = lb.Stop(t.Context())
		}
		if problem := strings.ReplaceAll(c.problem, "PORT", port); problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("%s %s for %s%v", c.network, c.bound, c.listener, err)
		}
	}
}
