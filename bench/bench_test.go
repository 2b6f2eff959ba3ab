package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func testOptions(t *testing.T, arguments ...string) options {
	t.Helper()
	var stderr strings.Builder
	o, err := parseOptions(append([]string{
		"-duration", "1s", "-connections", "4", "-idle", "40,80", "-transfer", "5", "-rate", "200,300", "-backends", "1,3",
	}, arguments...), &stderr)
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	o.warmUp, o.quiet, o.moment = 0, 100*time.Millisecond, 10*time.Millisecond
	return o
}

// brokenLB is a program that ends at once.
func brokenLB(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lb")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho out of order >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// A real run, with a working balancer and one that does not start.
func TestRunScenario(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	o := testOptions(t, "-rounds", "1", "-peers", "nginx", "-lb", brokenLB(t))
	f := newFleet(t)
	b, err := prepare(t.Context(), o, f.dir, f)
	if err != nil {
		t.Skip(err)
	}
	for _, s := range o.scenarios {
		t.Run(s.name, func(t *testing.T) {
			if !slices.ContainsFunc(b.subjects, func(subject subject) bool { return subject.name == "nginx" && subject.can(s.need) }) {
				t.Skip("it is not for nginx")
			}
			if s.protocol == protocolHTTP2 && b.h2load.program == "" {
				t.Skip("h2load is not installed")
			}
			result := b.runScenario(t.Context(), s)
			if len(result.Failures) != 1 || !strings.Contains(result.Failures[0], "out of order") {
				t.Errorf("failures %q, want one that quotes lb", result.Failures)
			}
			if got := valuesOf(result.Samples["lb"], s.metrics[0].Key); len(got) != 0 {
				t.Errorf("values %v of a balancer that never ran", got)
			}
			for _, m := range s.metrics {
				if got := valuesOf(result.Samples["nginx"], m.Key); len(got) != 1 {
					t.Errorf("%s: values %v of nginx, want one", m.Key, got)
				}
			}
			if len(f.running) != 0 {
				t.Errorf("%d programs still run", len(f.running))
			}
		})
	}
}

func TestConfigurationsAreFilledIn(t *testing.T) {
	dir := t.TempDir()
	values := settings{
		Dir: dir, User: "root", Address: "127.0.0.1:1001", TLSAddress: "127.0.0.1:1002", Certificate: "c.pem", Key: "c.key",
		Bundle: "b.pem", Admin: "127.0.0.1:1005", Name: "n", Listen: []string{"127.0.0.1:1006", "127.0.0.2:1006"},
		Root: "/www", Backends: []string{"127.0.0.1:1003", "127.0.0.1:1004"}, Keepalive: 300, AccessLog: "/a.log", Body: "x", Workers: 2, Connections: 9, Descriptors: 10, Forwarded: true, Content: true, HTTP3: true, GRPC: true, Level: 3, NginxLevel: 4,
	}
	tests := []struct {
		template     string
		has, without []string // without: what a run with neither TLS, log nor forwarded headers lacks
	}{
		{"lb.hcl.tmpl", []string{`listen "127.0.0.1:1001"`, `backend "127.0.0.1:1003"`, `backend "127.0.0.1:1004"`, `root = "/www"`}, []string{"127.0.0.1:1002", "/a.log", "127.0.0.1:1005", "http3 = true", `protocol = "h2c"`, "level = 3", "cache {}"}},
		{"nginx.conf.tmpl", []string{"listen 127.0.0.1:1001", "server 127.0.0.1:1003;", "server 127.0.0.1:1004;", "keepalive 300;", "/n.pid;", "root /www"}, []string{"127.0.0.1:1002", "/a.log", "X-Forwarded-For", "grpc_pass", "gzip_comp_level 4;", "proxy_cache stored;"}},
		{"haproxy.cfg.tmpl", []string{"bind 127.0.0.1:1001", "server app0 127.0.0.1:1003", "server app1 127.0.0.1:1004"}, []string{"X-Forwarded-For", "bind 127.0.0.1:1002 ssl crt b.pem", "proto h2"}},
		{"caddy.Caddyfile.tmpl", []string{"http://127.0.0.1:1001 {", "127.0.0.1:1003\n", "127.0.0.1:1004\n", "root * /www"}, []string{"https://127.0.0.1:1002 {", "admin 127.0.0.1:1005", "X-Real-IP", "h2c://", "h1 h2 h3", "gzip 3"}},
		{"backend.conf.tmpl", []string{"listen 127.0.0.1:1006;", "listen 127.0.0.2:1006;", `return 200 "x"`, "alias /www/files/"}, nil},
	}
	for _, test := range tests {
		t.Run(test.template, func(t *testing.T) {
			full, plain := render(t, test.template, values), values
			plain.TLSAddress, plain.AccessLog, plain.Admin, plain.Forwarded = "", "", "", false
			plain.Content, plain.HTTP3, plain.GRPC = false, false, false
			bare := render(t, test.template, plain)
			for _, want := range test.has {
				if !strings.Contains(full, want) || !strings.Contains(bare, want) {
					t.Errorf("%q is missing in\n%s\nor in\n%s", want, full, bare)
				}
			}
			for _, extra := range test.without {
				if !strings.Contains(full, extra) || strings.Contains(bare, extra) {
					t.Errorf("%q is not just in the first of\n%s\nand\n%s", extra, full, bare)
				}
			}
		})
	}
}

func render(t *testing.T, template string, values settings) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "configuration")
	if err := writeConfiguration(path, template, values); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestCheckResponse(t *testing.T) {
	origin, err := startOrigin()
	if err != nil {
		t.Fatal(err)
	}
	defer origin.stop()
	s, r := scenario{path: "/?bytes=1024", size: 1024}, &running{address: origin.address}
	if err := s.check(t.Context(), r); err != nil {
		t.Error(err)
	}
	if s.size++; s.check(t.Context(), r) == nil {
		t.Error("no error for a response that is too short")
	}
}

func TestFixtures(t *testing.T) {
	f, err := writeFixtures(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int64{"1k.txt": 1024, "100k.txt": 102400, "10m.txt": 10485760} {
		info, err := os.Stat(filepath.Join(f.root, "files", name))
		if err != nil || info.Size() != size {
			t.Errorf("%s: %v and %v, want %d bytes", name, info, err, size)
		}
	}
	if pair, err := tls.LoadX509KeyPair(f.bundle, f.bundle); err != nil || pair.PrivateKey == nil {
		t.Errorf("the bundle has no certificate with its key: %v", err)
	}
	if strings.ContainsAny(bodyText(1024), "\"\\$\n") {
		t.Error("the backend's body needs quoting in a configuration")
	}
}
