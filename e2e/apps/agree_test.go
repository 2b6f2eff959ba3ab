//go:build e2e

package apps

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCheckAndReloadAgree: lb check and a running lb accept and refuse the same configurations, with the same
// diagnostics: every faulty configuration of the tests and every sample.
func TestCheckAndReloadAgree(t *testing.T) {
	var texts []string
	for _, pattern := range []string{"config/testdata/faulty/*.hcl", "configs/*.hcl"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, names...)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "files"), os.DirFS(filepath.Join(root, "config/testdata/files"))); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "conf")
	write(t, conf, "lb.hcl", okSite)
	lb := startLB(t, conf, okSite)
	refused, accepted := 0, 0
	for _, name := range texts {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		write(t, conf, "lb.hcl", text)
		status, said := command(t, "check", "-config", lb.file)
		if status == 0 {
			accepted++
			agreeOnGood(t, name, text, filepath.Join(dir, strings.ReplaceAll(filepath.Base(name), ".", "-")))
			continue
		}
		refused++
		reload, out := command(t, "reload", "-admin", lb.admin)
		if reload != 1 {
			t.Errorf("%s: check exits %d, reload %d\n%s", name, status, reload, out)
		}
		if first := regexp.MustCompile(`(?m)^.*lb\.hcl.*: error: .*$`).FindString(said); first == "" || !strings.Contains(out, first) {
			t.Errorf("%s: reload says\n%s\ncheck says\n%s", name, out, said)
		}
		if status, body := get(lb.url); status != 200 || body != "fine" {
			t.Fatalf("%s: after the refused reload: %d %s", name, status, body)
		}
	}
	t.Logf("%d were refused by both, %d accepted by both", refused, accepted)
	if refused < 45 || accepted < 5 {
		t.Error("too few of one kind")
	}
}

var (
	listens = regexp.MustCompile(`(?m)^listen "[^"]*"`)
	admins  = regexp.MustCompile(`(?m)^(\s+listen\s*=) "[^"]*"`)
)

// agreeOnGood starts an lb and reloads it with a text that lb check accepts, at free addresses.
func agreeOnGood(t *testing.T, name, text, dir string) {
	t.Helper()
	write(t, dir, "lb.hcl", okSite)
	lb := startLB(t, dir, okSite)
	text = listens.ReplaceAllStringFunc(text, func(string) string { return `listen "` + freePorts(t, 1)[0] + `"` })
	if !strings.Contains(text, "directory") { // ask no server of others for certificates
		text = strings.ReplaceAll(text, "acme {\n", "acme {\ndirectory = \"https://127.0.0.1:9/directory\"\n")
	}
	text = strings.ReplaceAll(text, "/var/lib/lb/acme", dir+"/acme")
	text = admins.ReplaceAllString(text, `$1 "`+lb.admin+`"`)
	write(t, dir, "lb.hcl", text)
	if status, out := command(t, "reload", "-admin", lb.admin); status != 0 {
		t.Errorf("%s: check accepts it, reload exits %d\n%s", name, status, out)
	}
	lb.kill()
}
