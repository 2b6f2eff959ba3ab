//go:build e2e

package apps

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDirectoryOfFiles: the files of a directory are one configuration, and a reload reads a new file.
func TestDirectoryOfFiles(t *testing.T) {
	dir, conf, ports := t.TempDir(), t.TempDir(), freePorts(t, 2)
	server, site, _ := strings.Cut(strings.NewReplacer("LISTEN", ports[0], "ADMIN", ports[1], "DIR", dir).Replace(okSite), "site ")
	write(t, conf, "10-server.hcl", server)
	write(t, conf, "20-site.hcl", "site "+site)
	write(t, conf, "notes.txt", "no configuration {")
	launch(t, nil, binary, "-config", conf)
	url := "http://" + ports[0] + "/"
	eventually(t, "a response", func() bool { status, body := get(url); return status == 200 && body == "fine" })
	write(t, conf, "30-more.hcl", "site \"more\" {\n  hosts = [\"127.0.0.1\"]\n  route \"/\" {\n    respond {\n      body = \"more\"\n    }\n  }\n}\n")
	if status, out := command(t, "reload", "-admin", ports[1]); status != 0 {
		t.Fatalf("reload: exit %d\n%s", status, out)
	}
	if _, body := get(url); body != "more" {
		t.Errorf("after the reload: %q", body)
	}
	write(t, conf, "30-more.hcl", "site \"s\" {\n")
	if status, out := command(t, "reload", "-admin", ports[1]); status != 1 || !strings.Contains(out, "30-more.hcl:") {
		t.Errorf("reload of a broken file: exit %d\n%s", status, out)
	}
	if _, body := get(url); body != "more" {
		t.Errorf("after the refused reload: %q", body)
	}
	if status, out := command(t, "-config", t.TempDir()); status != 1 || !strings.Contains(out, "no *.hcl file") {
		t.Errorf("an empty directory: exit %d\n%s", status, out)
	}
}

// TestUnreadableFile needs another user than root, which may read everything.
func TestUnreadableFile(t *testing.T) {
	const nobody = 65534
	dir := t.TempDir()
	write(t, dir, "lb.hcl", okSite)
	if err := os.Chmod(dir+"/lb.hcl", 0); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-config", dir + "/lb.hcl"}, {"check", "-config", dir + "/lb.hcl"}} {
		var as *syscall.Credential
		if os.Getuid() == 0 {
			as = &syscall.Credential{Uid: nobody, Gid: nobody}
			for _, path := range []string{scratch, filepath.Dir(dir), dir} {
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		if status, out := commandAs(t, as, args...); status != 1 || !strings.Contains(out, "lb.hcl") || !strings.Contains(out, "permission denied") {
			t.Errorf("lb %s: exit %d\n%s", strings.Join(args, " "), status, out)
		}
	}
}

// TestDirectoryFromFlags: -static serves a directory under /static/ beside the backends.
func TestDirectoryFromFlags(t *testing.T) {
	ports, dir := freePorts(t, 2), t.TempDir()
	write(t, dir, "a/b.txt", "from the folder")
	apps["clock"](t, ports[0])
	launch(t, nil, binary, "-listen", ports[1], "-to", ports[0], "-static", dir)
	eventually(t, "a response", func() bool { status, _ := get("http://" + ports[1] + "/api/time"); return status == 200 })
	if status, body := get("http://" + ports[1] + "/static/a/b.txt"); status != 200 || body != "from the folder" {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := get("http://" + ports[1] + "/static/none"); status != 404 {
		t.Errorf("a missing file: %d", status)
	}
}

// TestFormatRefusesBroken: a file that does not parse is not changed.
func TestFormatRefusesBroken(t *testing.T) {
	dir := t.TempDir()
	const broken = "listen \":80\"   {\n"
	write(t, dir, "lb.hcl", broken)
	if status, out := command(t, "fmt", dir+"/lb.hcl"); status != 1 || !strings.Contains(out, "lb.hcl:") {
		t.Errorf("exit %d\n%s", status, out)
	}
	if b, err := os.ReadFile(dir + "/lb.hcl"); err != nil || string(b) != broken {
		t.Errorf("%v: rewritten to %q", err, b)
	}
}

// TestTokenStaysSecret: the usage text of a command does not show the variable's value.
func TestTokenStaysSecret(t *testing.T) {
	t.Setenv("LB_ADMIN_TOKEN", "very-secret")
	for _, args := range [][]string{{"status", "-h"}, {"drain", "-wrong"}, {"reload", "-h"}} {
		if _, out := command(t, args...); strings.Contains(out, "very-secret") {
			t.Errorf("lb %s shows the token:\n%s", strings.Join(args, " "), out)
		}
	}
}

// TestMaintenanceOfBackends: with one backend in maintenance the other one responds, and with both none; the token is
// read from the environment.
func TestMaintenanceOfBackends(t *testing.T) {
	t.Setenv("LB_ADMIN_TOKEN", "secret")
	addresses := freePorts(t, 2)
	for _, a := range addresses {
		apps["clock"](t, a)
	}
	text := strings.Replace(proxyConfig(backend(addresses[0])+backend(addresses[1])), `listen = "ADMIN"`, "listen = \"ADMIN\"\n  token  = \"secret\"", 1)
	lb := startLB(t, t.TempDir(), text)
	set := func(state, address string) {
		t.Helper()
		if status, out := command(t, state, "app/"+address, "-admin", lb.admin); status != 0 {
			t.Fatalf("%s: exit %d\n%s", state, status, out)
		}
	}
	eventually(t, "a response", func() bool { status, _ := get(lb.url + "/api/time"); return status == 200 })
	load := startLoad(lb.url+"/api/time", 4, 200)
	load.until(t, 50)
	for _, state := range []string{"drain", "ready", "maint"} {
		set(state, addresses[0])
		load.until(t, load.served.Load()+50)
	}
	for range 6 {
		if _, body := get(lb.url + "/api/time"); !strings.Contains(body, addresses[1]) {
			t.Errorf("a backend in maintenance responded: %s", body)
		}
	}
	if served, failed, first := load.stop(); failed > 0 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
	set("maint", addresses[1])
	if status, _ := get(lb.url + "/api/time"); status != 503 {
		t.Errorf("with both in maintenance: %d", status)
	}
	if status, out := command(t, "status", "-admin", lb.admin); status != 0 || strings.Count(out, "maint") != 2 {
		t.Errorf("status: exit %d\n%s", status, out)
	}
	set("ready", addresses[0])
	if status, _ := get(lb.url + "/api/time"); status != 200 {
		t.Errorf("with one back: %d", status)
	}
	if status, out := command(t, "maint", "app/127.0.0.1:1", "-admin", lb.admin); status != 1 || !strings.Contains(out, "127.0.0.1:1") {
		t.Errorf("a backend that does not exist: exit %d\n%s", status, out)
	}
	if status, out := command(t, "status", "-admin", lb.admin, "-token", "wrong"); status != 1 || !strings.Contains(out, "token") {
		t.Errorf("a wrong token: exit %d\n%s", status, out)
	}
}
