package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestBindErrors: the error names the place in the file of the listener that cannot be bound. If lb itself uses the port, it says
// so and does not suggest stopping another program.
func TestBindErrors(t *testing.T) {
	occupied := lbtest.NewBackend(t, func(*lbtest.Conn) {})
	b := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	free := freeAddresses(t, 2)
	own, admin := free[0], free[1]
	_, port, _ := strings.Cut(own, ":")
	_, adminPort, _ := strings.Cut(admin, ":")
	site := proxyTo("", b.Addr)
	adminAt := func(address string) string {
		return "admin {\n  listen = \"" + address + "\"\n  token = \"0123456789abcdef\"\n}\n"
	}
	lb := start(t, "listen \""+own+"\" {}\n"+adminAt(admin)+site)
	for _, tc := range []struct{ what, text, want, not string }{
		{"wider", "# comment\nlisten \":" + port + "\" {}\n" + adminAt(admin),
			`lb.hcl:2:1: cannot listen on ":` + port + `": this lb itself holds the port, as listen "` + own + `"`, "other program"},
		{"occupied", "listen \"" + own + "\" {}\nlisten \"" + occupied.Addr + "\" {}\n" + adminAt(admin),
			`lb.hcl:2:1: cannot listen on "` + occupied.Addr + `": the port is in use`, "this lb"},
		{"the admin's", "listen \":" + adminPort + "\" {}\n" + adminAt("127.0.0.1:0"),
			`lb.hcl:1:1: cannot listen on ":` + adminPort + `": this lb itself holds the port, as admin listener "` + admin + `"`, "other program"},
		{"the admin's wider", "listen \"" + own + "\" {}\n" + adminAt(":"+adminPort),
			`lb.hcl:2:1: cannot listen on the admin address :` + adminPort + `: this lb itself holds the port, as admin listener "` + admin + `"`, "name another"},
	} {
		err := lb.reload(tc.text + site)
		if err == nil {
			t.Errorf("%s: accepted", tc.what)
		} else if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), tc.not) {
			t.Errorf("%s: %v, want %q and not %q", tc.what, err, tc.want, tc.not)
		}
		if r := lbtest.Get(t, own, "/"); r.Body != "x" {
			t.Errorf("%s: afterwards %d", tc.what, r.Status())
		}
	}
}

// TestSocketFileIsRemovedWithItsListener: the file is removed at once, so that the address can be bound again.
func TestSocketFileIsRemovedWithItsListener(t *testing.T) {
	site := proxyTo("", lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x"))).Addr)
	plain, both := "listen \"127.0.0.1:0\" {}\n"+site, "listen \"127.0.0.1:0\" {}\nlisten \"unix:$DIR/lb.sock\" {}\n"+site
	lb := start(t, plain)
	for range 5 {
		if err := lb.reload(both); err != nil {
			t.Fatal(err)
		}
		c := lb.dialUnix("lb.sock")
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Body != "x" {
			t.Fatalf("by the socket: %d %q", r.Status(), r.Body)
		}
		if err := lb.reload(plain); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(filepath.Join(lb.dir, "lb.sock")); !os.IsNotExist(err) {
			t.Fatalf("the socket's file is still there: %v", err)
		}
	}
}

// TestAdminSocketOutlivesReloads: the admin listener's socket file stays after a failed reload and after one that changes the
// token.
func TestAdminSocketOutlivesReloads(t *testing.T) {
	occupied := lbtest.NewBackend(t, func(*lbtest.Conn) {})
	site := proxyTo("", lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x"))).Addr)
	text := func(token, more string) string {
		return "listen \"127.0.0.1:0\" {}\n" + more + "admin {\n  listen = \"unix:$DIR/admin.sock\"\n  token = \"" + token + "\"\n}\n" + site
	}
	lb := start(t, text("one", ""))
	reachable := func(when string) {
		t.Helper()
		c := lb.dialUnix("admin.sock")
		c.Send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Status() != 200 {
			t.Errorf("%s: %d %q", when, r.Status(), r.Body)
		}
	}
	reachable("at first")
	if err := lb.reload(text("two", "listen \""+occupied.Addr+"\" {}\n")); err == nil {
		t.Error("an occupied port was accepted")
	}
	reachable("after a reload that failed")
	for _, token := range []string{"two", "three"} {
		if err := lb.reload(text(token, "")); err != nil {
			t.Fatal(err)
		}
		reachable("with the token " + token)
	}
	lb.stop()
	if _, err := os.Lstat(filepath.Join(lb.dir, "admin.sock")); !os.IsNotExist(err) {
		t.Errorf("after the stop the file is still there: %v", err)
	}
}
