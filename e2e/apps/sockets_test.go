//go:build e2e

package apps

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestUnixSockets: curl, lb and the application are connected by Unix sockets alone.
func TestUnixSockets(t *testing.T) {
	curl, dir := need(t, "curl"), t.TempDir()
	ln, err := net.Listen("unix", dir+"/app.sock")
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.MultiReader(strings.NewReader(r.Method+" "+r.RequestURI+" "+r.Host+" "), r.Body))
	}))
	app.Listener.Close()
	app.Listener = ln
	app.Start()
	defer app.Close()
	lb := startLB(t, dir, "listen \"unix:DIR/front.sock\" {}\n"+proxyConfig(backend("unix:DIR/app.sock")))
	for range 3 {
		out, err := exec.Command(curl, "-sS", "--unix-socket", dir+"/front.sock", "-d", "body", "http://clock.test/a?b").CombinedOutput()
		if err != nil || string(out) != "POST /a?b clock.test body" {
			t.Errorf("curl: %v %s", err, out)
		}
	}
	_ = lb.Process.Signal(syscall.SIGTERM)
	if status := lb.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
	// The next start must succeed whether or not the file still exists.
	again := startLB(t, dir, "listen \"unix:DIR/front.sock\" {}\n"+proxyConfig(backend("unix:DIR/app.sock")))
	out, err := exec.Command(curl, "-sS", "--unix-socket", dir+"/front.sock", "http://clock.test/").CombinedOutput()
	if err != nil || string(out) != "GET / clock.test " {
		t.Errorf("after a restart: %v %s", err, out)
	}
	again.kill() // leaves the file behind
	startLB(t, dir, "listen \"unix:DIR/front.sock\" {}\n"+proxyConfig(backend("unix:DIR/app.sock")))
	out, err = exec.Command(curl, "-sS", "--unix-socket", dir+"/front.sock", "http://clock.test/").CombinedOutput()
	if err != nil || string(out) != "GET / clock.test " {
		t.Errorf("after a crash: %v %s", err, out)
	}
}

// TestSocketActivation: lb serves a socket that its parent has bound and that has already queued a client.
func TestSocketActivation(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	socket, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	first := make(chan string, 1)
	go func() { _, body := get("http://" + address + "/"); first <- body }()

	dir := t.TempDir()
	write(t, dir, "lb.hcl", strings.NewReplacer("LISTEN", address, "ADMIN", freePorts(t, 1)[0], "DIR", dir).Replace(okSite))
	// LISTEN_PID must be the process's own, which only a shell that replaces itself by lb knows.
	p := launchWith(t, []string{"LISTEN_FDS=1"}, []*os.File{socket},
		"/bin/sh", "-c", "LISTEN_PID=$$ exec "+binary+" -config "+dir+"/lb.hcl")
	ln.Close() // lb serves its own copy
	if body := <-first; body != "fine" {
		t.Errorf("the client that connected before lb started got %q", body)
	}
	if status, body := get("http://" + address + "/"); status != 200 || body != "fine" {
		t.Errorf("%d %s", status, body)
	}
	_ = p.Process.Signal(syscall.SIGHUP)
	eventually(t, "a reload", func() bool { return strings.Contains(p.out.String(), "configuration reloaded") })
	if status, body := get("http://" + address + "/"); status != 200 || body != "fine" {
		t.Errorf("after a reload: %d %s", status, body)
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	if status := p.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
}

// TestSocketActivationFamilies: the parent's sockets are used by listeners for the same versions of IP; one for other
// versions is refused.
func TestSocketActivationFamilies(t *testing.T) {
	dual, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	_, port, _ := net.SplitHostPort(dual.Addr().String())
	dir := t.TempDir()
	run := func(listeners string, sockets ...net.Listener) *process {
		t.Helper()
		text := strings.Replace(okSite, "listen \"LISTEN\" {}", listeners, 1)
		write(t, dir, "lb.hcl", strings.NewReplacer("PORT", port, "ADMIN", freePorts(t, 1)[0], "DIR", dir).Replace(text))
		var files []*os.File
		for _, ln := range sockets {
			file, err := ln.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			ln.Close()
			files = append(files, file)
		}
		return launchWith(t, []string{"LISTEN_FDS=" + strconv.Itoa(len(files))}, files,
			"/bin/sh", "-c", "LISTEN_PID=$$ exec "+binary+" -config "+dir+"/lb.hcl")
	}
	refused := run("listen \"0.0.0.0:PORT\" {}", dual)
	if status := refused.exits(t); status != 1 || !strings.Contains(refused.out.String(), "serves IPv4 and IPv6") || !strings.Contains(refused.out.String(), "BindIPv6Only") {
		t.Errorf("exit %d\n%s", status, refused.out.String())
	}
	four, err := net.Listen("tcp4", "0.0.0.0:"+port)
	if err != nil {
		t.Fatal(err)
	}
	six, err := net.Listen("tcp6", "[::]:"+port)
	if err != nil {
		t.Fatal(err)
	}
	run("listen \"[::]:PORT\" {\n  ipv6_only = true\n}\nlisten \"0.0.0.0:PORT\" {}\n", four, six)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if status, body := get("http://" + host + ":" + port + "/"); status != 200 || body != "fine" {
			t.Errorf("%s: %d %s", host, status, body)
		}
	}
}

// TestSystemdSocketActivate is the same with systemd's own tool.
func TestSystemdSocketActivate(t *testing.T) {
	tool := need(t, "systemd-socket-activate")
	ports, dir := freePorts(t, 2), t.TempDir()
	write(t, dir, "lb.hcl", strings.NewReplacer("LISTEN", ports[0], "ADMIN", ports[1], "DIR", dir).Replace(okSite))
	p := launch(t, nil, tool, "-l", ports[0], binary, "-config", dir+"/lb.hcl")
	eventually(t, "a response", func() bool { status, body := get("http://" + ports[0] + "/"); return status == 200 && body == "fine" })
	_ = p.Process.Signal(syscall.SIGTERM)
	if status := p.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
}
