package config

import (
	"crypto/tls"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// everything also accepts what this version does not implement, and reads no files.
func everything(o *options) { o.everything, o.withoutFiles = true, true }

func mustParse(t *testing.T, text string, opts ...Option) *Config {
	t.Helper()
	c, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}}, opts...)
	if c == nil {
		t.Fatalf("Parse:\n%s", found)
	}
	return c
}

const smallest = `
listen ":8080" {}
site "app" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
}
`

// withoutPlaces clears every Pos, so that values can be compared.
func withoutPlaces[T any](x T) T {
	clearPlaces(reflect.ValueOf(&x))
	return x
}

func clearPlaces(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			clearPlaces(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			clearPlaces(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Pos]() {
			v.SetZero()
			return
		}
		if !strings.HasSuffix(v.Type().PkgPath(), "config") {
			return // netip.Prefix
		}
		for i := range v.NumField() {
			clearPlaces(v.Field(i))
		}
	}
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if got = withoutPlaces(got); !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// The documented defaults, repeated here.
func TestDefaults(t *testing.T) {
	c := mustParse(t, `
listen ":8443" {
  tls {
    certificate {
      cert = "/c.pem"
      key  = "/c.key"
    }
    acme {
      domains = ["a.example"]
    }
  }
}
site "app" {
  route "/static/" {
    static {
      root = "/srv"
    }
  }
  route "/old/" {
    redirect {
      to = "/new/{rest}"
    }
  }
  route "/ping" {
    respond {}
  }
  route "/" {
    rate_limit {}
    concurrency {}
    basic_auth {
      users_file = "/etc/lb/users"
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {}
  health {}
  tls {}
  sticky {}
  discover "dns" {
    name = "app"
    port = 5000
  }
  discover "docker" {
    label = "x"
  }
  discover "consul" {
    service = "app"
  }
}
`, everything)
	same(t, "listen", c.Listeners, []Listener{{Address: ":8443", TLS: &TLS{
		Certificates: []Certificate{{Cert: "/c.pem", Key: "/c.key"}},
		MinVersion:   tls.VersionTLS12, ClientVerify: "require", HTTP2: true,
		ACME: &ACME{Domains: []string{"a.example"}, Storage: "/var/lib/lb/acme", Challenges: []string{"http-01", "tls-alpn-01"},
			Directories: []ACMEDirectory{{Directory: "https://acme-v02.api.letsencrypt.org/directory"}}},
	}}})
	same(t, "admin", c.Admin, Admin{Listen: "127.0.0.1:9900"})
	same(t, "trusted_proxies", len(c.TrustedProxies), 0)
	same(t, "log", c.Log, Log{Level: "info", Format: "text", File: "-"})
	same(t, "access_log", c.AccessLog, AccessLog{Format: "json", File: "-", Sample: 1})
	same(t, "limits", c.Limits, Limits{HeaderSize: 16384, HeaderFields: 100, HeaderTimeout: 10 * time.Second,
		BodyIdleTimeout: time.Minute, BodyMinRate: 128, IdleTimeout: 75 * time.Second})
	same(t, "static_cache", c.StaticCache, StaticCache{Memory: 268435456, MaxFile: 8388608})
	same(t, "shutdown", c.Shutdown, Shutdown{Grace: 30 * time.Second})
	routes := c.Sites[0].Routes
	same(t, "static", routes[0].Static, &Static{Root: "/srv", Index: []string{"index.html"},
		TryFiles: []string{"{path}", "{path}/"}, Compress: true})
	same(t, "redirect", routes[1].Redirect, &Redirect{To: "/new/{rest}", Status: 308})
	same(t, "respond", routes[2].Respond, &Respond{Status: 200, ContentType: "text/plain"})
	same(t, "route", routes[3], Route{Pattern: "/", Path: "/", AmbiguousPaths: "reject", Proxy: &Proxy{Pool: "app"},
		RateLimits: []RateLimit{{Key: "client_ip", Rate: 100, Window: time.Second, Burst: 200, RedisDown: "open"}}, Concurrency: []Concurrency{{Key: "client_ip", Limit: 10}},
		BasicAuth: &BasicAuth{UsersFile: "/etc/lb/users", Realm: "restricted"}})
	same(t, "pool", c.Pools[0], Pool{
		Name: "app", Balance: "round_robin", HashKey: "client_ip", Protocol: "http1",
		Backends: []Backend{{Address: "127.0.0.1:5000", Weight: 1}},
		Discover: []Discover{
			{DNS: &DiscoverDNS{Name: "app", Port: 5000, Type: "A", Interval: 5 * time.Second}},
			{Docker: &DiscoverDocker{Label: "x", Socket: "/var/run/docker.sock"}},
			{Consul: &DiscoverConsul{Service: "app", Address: "127.0.0.1:8500"}},
		},
		Health: &Health{Type: "http", Path: "/", Method: "GET", Status: StatusSet{{200, 399}}, Interval: 2 * time.Second,
			FastInterval: 500 * time.Millisecond, Timeout: time.Second, Jitter: 0.1, Rise: 2, Fall: 3},
		Eject:              Eject{Failures: 5, Duration: 10 * time.Second, MaxPercent: 50},
		Retry:              Retry{Attempts: 2, Budget: 0.1, On: []string{"connect", "reset", "503"}, Body: 65536},
		Queue:              Queue{Limit: 1024, Timeout: 5 * time.Second, WhileDown: time.Second},
		ResponseHeaderSize: 32 << 10,
		Timeouts:           Timeouts{Connect: 3 * time.Second, Response: time.Minute, Idle: time.Minute, Tunnel: time.Hour},
		KeepAlive:          KeepAlive{MaxIdle: 256, IdleTimeout: 4 * time.Second},
		TLS:                &BackendTLS{Verify: true},
		Sticky:             &Sticky{Cookie: "lb"},
	})
}

// The reference sample states the defaults: removing them changes nothing.
func TestReferenceShowsDefaults(t *testing.T) {
	c, found := Load("../configs/lb.hcl", WithoutFileChecks())
	if c == nil {
		t.Fatal(found)
	}
	d := defaultConfig()
	same(t, "admin", c.Admin, d.Admin)
	same(t, "log", c.Log, d.Log)
	same(t, "access_log", c.AccessLog, d.AccessLog)
	same(t, "limits", c.Limits, d.Limits)
	same(t, "static_cache", c.StaticCache, d.StaticCache)
	same(t, "shutdown", c.Shutdown, d.Shutdown)
	p, want := c.Pools[0], defaultPool()
	health := defaultHealth()
	want.Name, want.Backends, want.Discover, want.Health = p.Name, withoutPlaces(p.Backends), withoutPlaces(p.Discover), &health
	want.Retry.On = p.Retry.On // the order is free
	same(t, "pool", p, want)
	if !reflect.DeepEqual(withoutPlaces(p.Backends[0]), Backend{Address: "127.0.0.1:5000", Weight: 1}) {
		t.Errorf("backend: %+v", p.Backends[0])
	}
}

// Values other than the defaults arrive where they belong.
func TestValues(t *testing.T) {
	t.Setenv("LB_TEST_WEIGHT", "7")
	c := mustParse(t, `
listen "unix:/run/lb.sock" {}
listen "[::]:80" {
  proxy_protocol = true
}
listen ":443" {
  tls {
    certificate {
      cert = "/c.pem"
      key  = "k.key"
    }
    min_version = "1.3"
    client_ca   = "/ca.pem"
    http2       = false
  }
}
trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]
admin {
  listen = "off"
}
limits {
  body_size   = "1.5MiB"
  header_size = 2048
}
site "b" {
  hosts = ["B.Example.", "*.b.example"]
  error_page {
    status = [404, 410]
    file   = "404.html"
  }
  route "=   /exact" {
    methods = ["GET"]
    headers = { X-B = "2", "X-A" = "1" }
    allow   = ["10.0.0.0/8"]
    request_headers {
      set = { "X-Z" = "1", "X-Y" = "2" }
    }
    proxy {
      split   = { app = 95, "other" = 5 }
      rewrite = "/v2{path}"
    }
  }
}
pool "app" {
  backend "127.0.0.1:5000" {
    weight = env("LB_TEST_WEIGHT")
    backup = true
  }
  health {
    status = "200,204,300-399"
  }
  panic_threshold = 0
}
pool "other" {
  backend "b.internal:80" {}
}
`, WithoutFileChecks())
	if c.Listeners[0].Address != "unix:/run/lb.sock" || !c.Listeners[1].ProxyProtocol {
		t.Errorf("listeners: %+v", c.Listeners)
	}
	same(t, "tls", c.Listeners[2].TLS, &TLS{Certificates: []Certificate{{Cert: "/c.pem", Key: "k.key"}},
		MinVersion: tls.VersionTLS13, ClientCA: "/ca.pem", ClientVerify: "require"})
	same(t, "trusted_proxies", c.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.7/32")})
	same(t, "admin", c.Admin, Admin{})
	same(t, "body_size", c.Limits.BodySize, 3<<19)
	same(t, "header_size", c.Limits.HeaderSize, 2048)
	s := c.Sites[0]
	same(t, "hosts", s.Hosts, []string{"b.example", "*.b.example"})
	same(t, "error_page", s.ErrorPages, []ErrorPage{{Status: []int{404, 410}, File: "404.html"}})
	same(t, "route", s.Routes[0], Route{
		Pattern: "=   /exact", Path: "/exact", Exact: true, AmbiguousPaths: "reject", Methods: []string{"GET"},
		Headers:        []Header{{"X-B", "2"}, {"X-A", "1"}}, // in the order of the file
		Allow:          []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		RequestHeaders: HeaderRules{Set: []Header{{"X-Z", "1"}, {"X-Y", "2"}}},
		Proxy:          &Proxy{Split: []Share{{"app", 95}, {"other", 5}}, Rewrite: "/v2{path}"},
	})
	same(t, "backend", c.Pools[0].Backends, []Backend{{Address: "127.0.0.1:5000", Weight: 7, Backup: true}})
	same(t, "status", c.Pools[0].Health.Status.String(), "200,204,300-399")
	same(t, "panic_threshold", c.Pools[0].PanicThreshold, 0)
	if p := c.Pools[0].Pos; p != (Pos{File: "lb.hcl", Line: p.Line, Column: 1}) || p.Line == 0 {
		t.Errorf("the pool is at %v", p)
	}
}

// A directory is one configuration: names and references go across its files,
// relative paths begin at it.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token.txt", "secret\n")
	write("404.html", "not here")
	write("10-main.hcl", "listen \":80\" {}\nadmin {\n  token = file(\"token.txt\")\n}\ntrusted_proxies = []\n")
	write("20-site.hcl", strings.Replace(smallest[strings.Index(smallest, "site"):], "  route", "  error_page {\n    status = [404]\n    file = \"404.html\"\n  }\n  route", 1))
	write("notes.txt", "not HCL at all {")
	c, found := Load(dir)
	if c == nil || len(found) > 0 {
		t.Fatalf("Load:\n%s", found)
	}
	if c.Admin.Token != "secret" {
		t.Errorf("the token is %q", string(c.Admin.Token))
	}
	if got := c.Sites[0].ErrorPages[0].File; got != filepath.Join(dir, "404.html") {
		t.Errorf("the error page is %q", got)
	}
	write("30-more.hcl", "trusted_proxies = []\nlisten \":80\" {}\npool \"app\" {\n  backend \"127.0.0.1:1\" {}\n}\n")
	c, found = Load(dir)
	if c != nil || len(found) != 3 {
		t.Fatalf("want three duplicates across files:\n%s", found)
	}
	for _, d := range found {
		if filepath.Base(d.Pos.File) != "30-more.hcl" {
			t.Errorf("reported at %v: %s", d.Pos, d.Summary)
		}
	}
}

func TestLoadNothing(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "missing.hcl"), t.TempDir(), "/dev/null"} {
		if c, found := Load(path); c != nil || !found.HasErrors() {
			t.Errorf("Load(%q) = %v, %v", path, c, found)
		}
	}
}

func TestFromFlags(t *testing.T) {
	dir := t.TempDir()
	c, found := FromFlags(Flags{Listen: ":8080", To: []string{"127.0.0.1:5000", "127.0.0.1:5001"}, Static: dir, Balance: "least_conn"})
	if c == nil || len(found) > 0 {
		t.Fatalf("FromFlags:\n%s", found)
	}
	same(t, "routes", c.Sites[0].Routes[0].Static.Root, dir)
	same(t, "strip_prefix", c.Sites[0].Routes[0].Static.StripPrefix, true)
	same(t, "balance", c.Pools[0].Balance, "least_conn")
	same(t, "backends", c.Pools[0].Backends, []Backend{{Address: "127.0.0.1:5000", Weight: 1}, {Address: "127.0.0.1:5001", Weight: 1}})

	hostile := Flags{Listen: `":1" {} ${env("HOME")}`, To: []string{"x\"} \n%{ if }"}, Balance: "fastest"}
	c, found = FromFlags(hostile)
	if c != nil || len(found) != 3 {
		t.Errorf("want three errors:\n%s", found)
	}
	for _, d := range found {
		if d.Pos.File != "command line" || d.Pos.Line != 0 {
			t.Errorf("reported at %+v", d.Pos)
		}
	}
}

// A secret does not appear: not printed, not encoded, not in the view.
func TestSecretsAreMasked(t *testing.T) {
	c := mustParse(t, smallest+`
admin {
  token = "hush-1"
}
site "b" {
  hosts = ["b.example"]
  route "/" {
    request_headers {
      set = { Authorization = "Bearer hush-2", "X-Plain" = "shown", "X-Upstream" = "Bearer hush-3" }
    }
    respond {
      body = "hello"
    }
  }
  route "/away/" {
    redirect {
      to = "https://ann:hush-4@b.example/x?api_key=hush-5"
    }
  }
  route "/inside/" {
    proxy {
      pool    = "hidden"
      rewrite = "/x?token=hush-6"
    }
  }
}
pool "hidden" {
  backend "127.0.0.1:5000" {}
  health {
    path = "/healthz?token=hush-7"
  }
}
`)
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shown", mask, "b.example/x?api_key=…", "/x?token=…", "/healthz?token=…", `"max_connections":0`, `"connections_per_ip":0`, `"header_timeout":"10s"`, `"keepalive"`, `"redirect_https"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the view lacks %s: %s", want, text)
		}
	}
	if strings.Contains(string(text), "hush") {
		t.Errorf("the view shows a secret: %s", text)
	}
	if s := c.Admin.Token; strings.Contains(s.String()+s.GoString(), "hush") {
		t.Error("the token prints itself")
	}
}

// TestViewClaimsNothing: what this version does not implement is off in the configuration that the admin API shows, whether it is
// written or the default of later versions.
func TestViewClaimsNothing(t *testing.T) {
	text := func(more string) string {
		return "listen \":8443\" {\n  tls {\n    certificate {\n      cert = \"c.pem\"\n      key = \"c.key\"\n    }\n" + strings.ReplaceAll(more, "NAME", "http2") +
			"  }\n}\nsite \"s\" {\n  route \"/\" {\n    static {\n      root = \"/\"\n" + strings.ReplaceAll(more, "NAME", "compress") + "    }\n  }\n}\n"
	}
	for _, more := range []string{"", "NAME = true\n", "NAME = false\n"} {
		c, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(text(more))}}, WithoutFileChecks())
		if c == nil {
			t.Fatal(found)
		}
		shown, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gaps {
			name := g.path[strings.LastIndexByte(g.path, '.')+1:]
			if g.value == "true" && strings.Contains(string(shown), `"`+name+`":true`) {
				t.Errorf("%q: %s is claimed in %s", more, g.path, shown)
			}
		}
	}
}
