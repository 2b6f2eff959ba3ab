//go:build e2e

package apps

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

const okSite = `
listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
access_log {
  file = "DIR/access.log"
}
site "s" {
  route "/" {
    respond {
      status = 200
      body   = "fine"
    }
  }
}
`

// TestCommandLine: exit statuses and output of commands that end by themselves.
func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.hcl", strings.NewReplacer("LISTEN", "127.0.0.1:0", "ADMIN", "127.0.0.1:0", "DIR", dir).Replace(okSite))
	write(t, dir, "bad.hcl", "listen \":8080\" {}\nsite \"s\" {\n  route \"/\" {\n    proxy {\n      pool = \"app\"\n    }\n  }\n}\npool \"app\" {\n  balence = \"first\"\n  backend \"127.0.0.1:1\" {}\n}\n")
	write(t, dir, "many/a.hcl", "listen \"127.0.0.1:0\" {}\n")
	write(t, dir, "many/b.hcl", "site \"s\" {\n  route \"/\" {\n    respond {\n      status = 200\n    }\n  }\n}\n")
	write(t, dir, "ugly.hcl", "listen   \":80\"   {}\n")
	for _, tc := range []struct {
		args   []string
		status int
		words  []string
	}{
		{[]string{"version"}, 0, []string{"lb ", "go1."}},
		{[]string{"-version"}, 0, []string{"lb ", "go1."}},
		{[]string{"-h"}, 0, []string{"lb -config lb.hcl"}},
		{[]string{"check", "-config", dir + "/good.hcl"}, 0, []string{"is valid"}},
		{[]string{"check", "-config", dir + "/many"}, 0, []string{"is valid"}},
		{[]string{"check", "-config", dir + "/bad.hcl"}, 1, []string{"bad.hcl:10:3", `balence = "first"`, `did you mean "balance"`}},
		{[]string{"-config", dir + "/bad.hcl"}, 1, []string{"bad.hcl:10:3", "not started"}},
		{[]string{"-config", dir + "/none.hcl"}, 1, []string{"none.hcl"}},
		{[]string{"check", "-confg", "x"}, 2, []string{"confg"}},
		{[]string{"frobnicate"}, 2, []string{"frobnicate"}},
		{[]string{"-listen", ":8080"}, 2, []string{"-to"}},
		{[]string{"drain", "app"}, 2, []string{"POOL/BACKEND"}},
		{[]string{"status", "-admin", "127.0.0.1:1"}, 1, []string{"is lb running?"}},
		{[]string{"fmt", dir + "/ugly.hcl"}, 0, []string{"ugly.hcl"}},
		{[]string{"fmt", "-check", dir + "/ugly.hcl"}, 0, nil},
	} {
		status, out := command(t, tc.args...)
		if status != tc.status {
			t.Errorf("lb %s: exit %d, want %d\n%s", strings.Join(tc.args, " "), status, tc.status, out)
		}
		for _, word := range tc.words {
			if !strings.Contains(out, word) {
				t.Errorf("lb %s does not say %q:\n%s", strings.Join(tc.args, " "), word, out)
			}
		}
	}
	if b, _ := os.ReadFile(dir + "/ugly.hcl"); string(b) != "listen \":80\" {}\n" {
		t.Errorf("formatted to %q", b)
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	status, out := command(t, "-listen", ln.Addr().String(), "-to", "127.0.0.1:1")
	if status != 1 || !strings.Contains(out, ln.Addr().String()) || !strings.Contains(out, "in use") {
		t.Errorf("exit %d:\n%s", status, out)
	}
}

// TestWithoutFile runs from flags alone, and ends by a signal.
func TestWithoutFile(t *testing.T) {
	app, listen := freePorts(t, 1)[0], freePorts(t, 1)[0]
	apps["clock"](t, app)
	p := launch(t, nil, binary, "-listen", listen, "-to", app, "-balance", "least_conn")
	eventually(t, "a response", func() bool {
		status, body := get("http://" + listen + "/api/time")
		return status == 200 && strings.Contains(body, app)
	})
	_ = p.Process.Signal(syscall.SIGTERM)
	if status := p.exits(t); status != 0 {
		t.Errorf("exit %d after SIGTERM", status)
	}
}

// TestOperation: status, admin states, reload and log rotation of a running balancer.
func TestOperation(t *testing.T) {
	addresses := freePorts(t, 2)
	for _, a := range addresses {
		apps["clock"](t, a)
	}
	dir := t.TempDir()
	text := strings.Replace(strings.Replace(okSite, "respond {\n      status = 200\n      body   = \"fine\"", "proxy {\n      pool = \"app\"", 1), `listen = "ADMIN"`, "listen = \"ADMIN\"\n  token  = \"secret\"", 1) +
		"pool \"app\" {\n  backend \"" + addresses[0] + "\" {}\n  backend \"" + addresses[1] + "\" {}\n  health {\n    interval = \"200ms\"\n  }\n}\n"
	lb := startLB(t, dir, text)
	eventually(t, "both are up", func() bool {
		status, out := command(t, "status", "-admin", lb.admin, "-token", "secret")
		return status == 0 && strings.Count(out, " up ") == 2
	})
	if status, out := command(t, "status", "-admin", lb.admin); status != 1 || !strings.Contains(out, "token") {
		t.Errorf("without a token: exit %d\n%s", status, out)
	}
	load := startLoad(lb.url+"/api/time", 4, 200)
	load.until(t, 50)
	if status, out := command(t, "drain", "-admin", lb.admin, "-token", "secret", "app/"+addresses[0]); status != 0 {
		t.Fatalf("drain: exit %d\n%s", status, out)
	}
	for range 10 {
		if _, body := get(lb.url + "/api/time"); !strings.Contains(body, addresses[1]) {
			t.Errorf("a drained backend responded: %s", body)
		}
	}
	if status, out := command(t, "ready", "-admin", lb.admin, "-token", "secret", "app/"+addresses[0]); status != 0 {
		t.Fatalf("ready: exit %d\n%s", status, out)
	}
	for range 5 {
		if status, out := command(t, "reload", "-admin", lb.admin, "-token", "secret"); status != 0 {
			t.Errorf("reload: exit %d\n%s", status, out)
		}
	}
	lb.configure(t, strings.Replace(text, "interval", "intervall", 1))
	if status, out := command(t, "reload", "-admin", lb.admin, "-token", "secret"); status != 1 || !strings.Contains(out, `did you mean "interval"`) {
		t.Errorf("reload of a broken file: exit %d\n%s", status, out)
	}
	_ = lb.Process.Signal(syscall.SIGHUP)
	eventually(t, "the reason in the log", func() bool { return strings.Contains(lb.out.String(), "did you mean") })
	if err := os.Rename(dir+"/access.log", dir+"/access.log.1"); err != nil {
		t.Fatal(err)
	}
	_ = lb.Process.Signal(syscall.SIGUSR1)
	eventually(t, "a new access log with lines", func() bool { b, _ := os.ReadFile(dir + "/access.log"); return len(b) > 0 })
	if served, failed, first := load.stop(); failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
	_ = lb.Process.Signal(syscall.SIGTERM)
	if status := lb.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
}

// TestDemo: all replicas respond, one dies and is restarted, and no process or file remains at the end.
func TestDemo(t *testing.T) {
	ports, tmp := freePorts(t, 2), t.TempDir()
	p := launch(t, []string{"TMPDIR=" + tmp}, binary, "demo", "-listen", ports[0], "-admin", ports[1], "-outage", "2s")
	seen := map[string]bool{}
	eventually(t, "three replicas", func() bool {
		_, body := get("http://" + ports[0] + "/api/time")
		for _, name := range []string{"replica-1", "replica-2", "replica-3"} {
			if strings.Contains(body, name) {
				seen[name] = true
			}
		}
		return len(seen) == 3
	})
	if status, body := get("http://" + ports[0] + "/images/clock.svg"); status != 200 || !strings.Contains(body, "<svg") {
		t.Errorf("the picture: %d", status)
	}
	_, config, _ := strings.Cut(p.out.String(), "runs with:\n")
	config, _, _ = strings.Cut(config, "The page:")
	config = regexp.MustCompile(`(?m)^\d{4}-.*\n`).ReplaceAllString(config, "") // the log goes to the same pipe here
	file := filepath.Join(t.TempDir(), "demo.hcl")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, out := command(t, "check", "-config", file); status != 0 {
		t.Errorf("the printed lb.hcl is not valid:\n%s", out)
	}
	for _, words := range []string{"from=up to=down", "from=down to=up"} {
		eventually(t, words, func() bool { return strings.Contains(p.out.String(), words) })
	}
	_ = p.Process.Signal(os.Interrupt)
	if status := p.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
	if left, _ := filepath.Glob(tmp + "/lb-demo-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestServiceManager: READY=1 and STOPPING=1 reach the socket that systemd would listen on.
func TestServiceManager(t *testing.T) {
	dir := t.TempDir()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	states := make(chan string, 100)
	go func() {
		defer close(states)
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				return
			}
			states <- string(buf[:n])
		}
	}()
	ports := freePorts(t, 2)
	write(t, dir, "lb.hcl", strings.NewReplacer("LISTEN", ports[0], "ADMIN", ports[1], "DIR", dir).Replace(okSite))
	p := launch(t, []string{"NOTIFY_SOCKET=" + dir + "/notify"}, binary, "-config", dir+"/lb.hcl")
	expect := func(want string) {
		t.Helper()
		eventually(t, want, func() bool {
			select {
			case got := <-states:
				return strings.HasPrefix(got, want)
			default:
				return false
			}
		})
	}
	expect("READY=1")
	_ = p.Process.Signal(syscall.SIGHUP)
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	_ = p.Process.Signal(syscall.SIGTERM)
	expect("STOPPING=1")
	if status := p.exits(t); status != 0 {
		t.Errorf("exit %d", status)
	}
}

// TestTLS: two certificates by name, a redirect, and no old version, as curl sees it.
func TestTLS(t *testing.T) {
	curl, openssl := need(t, "curl"), need(t, "openssl")
	dir := t.TempDir()
	for _, name := range []string{"one.test", "two.test"} {
		out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
			"-subj", "/CN="+name, "-addext", "subjectAltName=DNS:"+name, "-keyout", dir+"/"+name+".key", "-out", dir+"/"+name+".pem").CombinedOutput()
		if err != nil {
			t.Fatalf("openssl: %v %s", err, out)
		}
	}
	secure := freePorts(t, 1)[0]
	certificate := func(name string) string {
		return "    certificate {\n      cert = \"" + dir + "/" + name + ".pem\"\n      key  = \"" + dir + "/" + name + ".key\"\n    }\n"
	}
	lb := startLB(t, dir, strings.Replace(okSite, `listen "LISTEN" {}`, "listen \"LISTEN\" {\n  redirect_https = true\n}\nlisten \""+secure+
		"\" {\n  tls {\n"+certificate("one.test")+certificate("two.test")+"  }\n}", 1))
	for _, name := range []string{"one.test", "two.test"} {
		out, err := exec.Command(curl, "-sS", "--resolve", name+":"+port(secure)+":127.0.0.1", "--cacert", dir+"/"+name+".pem",
			"https://"+name+":"+port(secure)+"/").CombinedOutput()
		if err != nil || string(out) != "fine" {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	out, _ := exec.Command(curl, "-sS", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: one.test", lb.url+"/a?b").CombinedOutput()
	if string(out) != "308 https://one.test/a?b" {
		t.Errorf("redirect: %s", out)
	}
	if err := exec.Command(curl, "-sSk", "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0", "https://"+secure+"/").Run(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}
