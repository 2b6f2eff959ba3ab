//go:build e2e && linux

package apps

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// poolSite proxies to two backends; ONE and TWO are replaced.
const poolSite = `
listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
access_log {
  format = "off"
}
site "s" {
  hosts = ["clock.test"]
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "ONE" {}
  backend "TWO" {}
}
`

// heldBack starts a backend that responds when respond receives.
func heldBack(t *testing.T) (address string, arrived <-chan struct{}, respond chan<- struct{}) {
	t.Helper()
	requests, release := make(chan struct{}, 8), make(chan struct{})
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			requests <- struct{}{}
			<-release
			c.Send(lbtest.OK("late"))
		}
	})
	return b.Addr, requests, release
}

// TestTop runs lb top in a terminal: it shows the pools, counts, follows changes, survives a restart of the balancer,
// and restores the terminal.
func TestTop(t *testing.T) {
	one, two := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("1"))), lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("2")))
	text := strings.NewReplacer("ONE", one.Addr, "TWO", two.Addr, `hosts = ["clock.test"]`, "").Replace(poolSite)
	lb := startLB(t, t.TempDir(), text)
	for what, end := range map[string]func(tty *lbtest.Terminal, top *exec.Cmd){
		"q":       func(tty *lbtest.Terminal, _ *exec.Cmd) { tty.Type(t, "q") },
		"Ctrl-C":  func(tty *lbtest.Terminal, _ *exec.Cmd) { tty.Type(t, "\x03") },
		"SIGINT":  func(_ *lbtest.Terminal, top *exec.Cmd) { _ = top.Process.Signal(syscall.SIGINT) },
		"SIGTERM": func(_ *lbtest.Terminal, top *exec.Cmd) { _ = top.Process.Signal(syscall.SIGTERM) },
	} {
		tty := lbtest.NewTerminal(t, 110, 20)
		before := tty.Mode(t)
		top := exec.Command(binary, "top", "-admin", lb.admin, "-interval", "100ms")
		top.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
		if what == "SIGTERM" {
			top.Env = append(top.Env, "NO_COLOR=1")
		}
		top.Stdin, top.Stdout, top.Stderr = tty.File, tty.File, tty.File
		top.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
		if err := top.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- top.Wait() }()
		eventually(t, "both backends", func() bool {
			return strings.Contains(tty.Output(), one.Addr) && strings.Contains(tty.Output(), two.Addr)
		})
		if what == "q" {
			watch(t, lb, tty, one.Addr, text)
		}
		end(tty, top)
		err, ok := lbtest.Wait(t, "the end by "+what, ended)
		if !ok || err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if strings.Contains(tty.Output(), "\x1b[32m") == (what == "SIGTERM") {
			t.Errorf("%s: colours do not follow NO_COLOR", what)
		}
		if tty.Mode(t) != before {
			t.Errorf("%s: the terminal's mode has changed", what)
		}
		eventually(t, "the screen is restored", func() bool { return strings.HasSuffix(tty.Output(), "\x1b[?25h\x1b[?1049l") })
	}
}

// watch checks the output of one lb top during changes.
func watch(t *testing.T, lb *balancer, tty *lbtest.Terminal, backend, text string) {
	t.Helper()
	frame := func() string { return tty.Output()[strings.LastIndex(tty.Output(), "\x1b[?2026h"):] }
	shows := func(what, text string) {
		t.Helper()
		eventually(t, what, func() bool { return strings.Contains(frame(), text) })
	}
	load := startLoad(lb.url+"/", 2, 50)
	rate := regexp.MustCompile(`\n[1-9][0-9.]* req/s`)
	eventually(t, "a rate", func() bool { return rate.MatchString(frame()) })
	if served, failed, first := load.stop(); failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
	if status, out := command(t, "drain", "-admin", lb.admin, "app/"+backend); status != 0 {
		t.Errorf("drain: %d %s", status, out)
	}
	shows("the drained backend in yellow", "\x1b[33m  drain")
	shows("what is left of the pool", "1 of 2 usable")
	lb.kill()
	shows("that the balancer does not respond", "no response since")
	lb.process = launch(t, nil, binary, "-config", lb.file)
	eventually(t, "lb responds again", func() bool {
		return !strings.Contains(frame(), "no response") && strings.Contains(frame(), "2 of 2 usable")
	})
	// SIGWINCH alone announces the new size, as this is the program's own terminal.
	tty.Resize(t, 40, 8)
	eventually(t, "a frame of the new size", func() bool { return strings.Count(frame(), "\r\n") == 7 })
}

// TestTopInPipe: plain tables, and the exit status without a running balancer.
func TestTopInPipe(t *testing.T) {
	lb := startLB(t, t.TempDir(), strings.NewReplacer("ONE", "127.0.0.1:1", "TWO", "127.0.0.1:2").Replace(poolSite))
	status, out := command(t, "top", "-admin", lb.admin, "-n", "2", "-interval", "100ms")
	if status != 0 || strings.Count(out, "POOL, BACKEND") != 2 || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d\n%s", status, out)
	}
	lb.kill()
	for _, c := range []struct {
		status int
		words  string
		args   []string
	}{
		{1, "is lb running?", []string{"top", "-admin", lb.admin}},
		{2, "-interval", []string{"top", "-interval", "1ms"}},
		{2, "-n", []string{"top", "-n", "-1"}},
		{1, "is lb running?", []string{"explain", "-admin", lb.admin, "http://clock.test/"}},
		{2, "http://clock.example.com", []string{"explain"}},
		{2, "needs a scheme and a host", []string{"explain", "clock.test/x"}},
		{2, "Name: value", []string{"explain", "-header", "x", "http://clock.test/"}},
		{2, "192.0.2.1", []string{"explain", "-client", "me", "http://clock.test/"}},
	} {
		if status, out := command(t, c.args...); status != c.status || !strings.Contains(out, c.words) {
			t.Errorf("lb %s: exit %d\n%s", strings.Join(c.args, " "), status, out)
		}
	}
	status, out = command(t, "explain", "-config", lb.file, "http://clock.test/x")
	if status != 0 || !strings.Contains(out, "no running lb was asked") || !strings.Contains(out, "127.0.0.1:2") {
		t.Errorf("from the file: exit %d\n%s", status, out)
	}
}

// TestDrainWaits: lb drain reports requests in flight and waits for them; for an unknown name it lists the known ones.
func TestDrainWaits(t *testing.T) {
	slow, arrived, respond := heldBack(t)
	lb := startLB(t, t.TempDir(), strings.NewReplacer("ONE", slow, "TWO", "127.0.0.1:2").Replace(poolSite))
	run := func(status int, words string, args ...string) {
		t.Helper()
		got, out := command(t, append([]string{args[0], "-admin", lb.admin}, args[1:]...)...)
		if got != status || !strings.Contains(out, words) {
			t.Errorf("lb %s: exit %d, want %d and %q\n%s", strings.Join(args, " "), got, status, words, out)
		}
	}
	run(1, `no pool "ap"; did you mean "app"? There are: app`, "drain", "ap/"+slow)
	run(1, fmt.Sprintf(`did you mean %q?`, slow), "drain", "app/localhost:"+port(slow))
	run(0, "weight 7 (configured 1)", "weight", "app/"+slow, "7")
	run(0, "ready, up, weight 1, nothing in flight", "weight", "app/"+slow, "0")
	run(2, "not between", "weight", "app/"+slow, "70000")
	run(2, "write the weight", "weight", "app/"+slow)
	run(0, "maint", "maint", "app/127.0.0.1:2")

	client, err := net.Dial("tcp", strings.TrimPrefix(lb.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: clock.test\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	lbtest.Wait(t, "the request", arrived)
	run(0, "drain, weight 1, 1 in flight", "drain", "app/"+slow)
	run(0, "no backend of pool app is usable now", "drain", "app/"+slow)
	run(1, "still has 1 requests in flight after 300ms", "drain", "-wait", "-timeout", "300ms", "app/"+slow)
	waiting := launch(t, nil, binary, "drain", "-admin", lb.admin, "-wait", "app/"+slow)
	eventually(t, "the wait has begun", func() bool { return strings.Contains(waiting.out.String(), "1 in flight") })
	select {
	case <-waiting.done:
		t.Fatalf("it did not wait:\n%s", waiting.out.String())
	case respond <- struct{}{}:
	case <-time.After(patience):
		t.Fatal("the backend does not respond")
	}
	if status := waiting.exits(t); status != 0 || !strings.Contains(waiting.out.String(), "nothing in flight") {
		t.Errorf("exit %d\n%s", status, waiting.out.String())
	}
	run(0, "drain: an administrator stopped new requests", "explain", lb.url+"/", "-header", "Host: clock.test")
	run(0, "ready, up", "ready", "app/"+slow)
}
