package server_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"lb/admin"
	"lb/config"
	"lb/internal/cli"
	"lb/internal/lbtest"
	"lb/server"
)

const explainedSites = `
listen "127.0.0.1:0" {}
site "clock" {
  hosts = ["clock.test", "*.wild.test"]
  maintenance {
    file = "$DIR/maintenance"
  }
  route "/images/" {
    static {
      root         = "$DIR"
      strip_prefix = true
    }
  }
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "= /ping" {
    respond {
      status = 200
      body   = "pong"
    }
  }
  route "/post/" {
    methods = ["POST"]
    proxy {
      pool = "app"
    }
  }
  route "/beta/" {
    headers = { "X-Beta" = "1" }
    proxy {
      pool    = "app"
      rewrite = "/v2/{rest}"
      host    = "inside"
    }
  }
  route "/office/" {
    allow = ["10.0.0.0/8"]
    deny  = ["10.9.0.0/16"]
    request_headers {
      set = { "Authorization" = "Basic c2VjcmV0" }
    }
    proxy {
      split = { "app" = 3, "canary" = 1 }
    }
  }
  route "/old/" {
    redirect {
      to = "/new/{rest}"
    }
  }
}
`

// explained is a balancer with two pools of real backends. The pool app balances by hash.
func explained(t *testing.T) (r *running, backends []string) {
	t.Helper()
	for range 3 {
		backends = append(backends, lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("fine"))).Addr)
	}
	r = start(t, explainedSites+fmt.Sprintf(`
pool "app" {
  balance  = "hash"
  hash_key = "header:X-User"
  backend %q {}
  backend %q {}
  backend %q { backup = true }
}
pool "canary" {
  backend %q {}
}
`, backends[0], backends[1], backends[2], backends[2]))
	r.write("a.svg", "<svg/>")
	return r, backends
}

// explain sends the question through the admin socket, as lb explain does.
func (r *running) explain(q admin.Question) *admin.Explanation {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.addr())
	q.URL = strings.Replace(q.URL, "PORT", port, 1)
	e, err := (&cli.Client{Addr: r.AdminAddr().String()}).Explain(r.t.Context(), q)
	if err != nil {
		r.t.Fatalf("%s: %v", q.URL, err)
	}
	return e
}

// TestExplain compares explanations with the expected text, and their status with that of a real request.
func TestExplain(t *testing.T) {
	r, _ := explained(t)
	for _, c := range []struct {
		path, method string
		headers      []string
		status       int // of lb's own response; 0: a backend responds
		want         []string
	}{
		{"/images/a.svg", "GET", nil, 200, []string{"route     /images/: the longest prefix", "not /: matches too", "files     /a.svg below $DIR", "$DIR/a.svg"}},
		{"/images/none.svg", "GET", nil, 404, []string{"there is no such file"}},
		{"/images/a.svg", "DELETE", nil, 405, []string{"Allow: GET, HEAD"}},
		{"/", "GET", nil, 0, []string{"host      clock.test", "site      clock: by its name clock.test", "pool      app: hash; 2 of 3 backends are used",
			"a backup: not needed while another backend is usable", "target    / with Host: clock.test"}},
		{"/ping", "GET", nil, 200, []string{"= /ping: the exact path", "not /: matches too"}},
		{"/p%69ng", "GET", nil, 200, []string{"path      /ping"}},
		{"/post/x", "GET", nil, 405, []string{"not /post/: takes POST only", "not /: does not apply", "Allow: POST"}},
		{"/post/x", "POST", nil, 0, []string{"methods   POST"}},
		{"/beta/x?y", "GET", nil, 0, []string{"route     /: ", "not /beta/: requires the header X-Beta: 1"}},
		{"/beta/x?y", "GET", []string{"x-beta: 1"}, 0, []string{"route     /beta/: ", "target    /v2/x?y with Host: inside"}},
		{"/old/a?b", "GET", nil, 308, []string{"Location: /new/a?b"}},
		{"/../x", "GET", nil, 400, []string{"leads out of the root"}},
		{"/x", "TRACE", nil, 405, []string{"CONNECT and TRACE"}},
		{"/office/", "GET", nil, 403, []string{"allow            10.0.0.0/8: 127.0.0.1 is refused"}},
	} {
		e := r.explain(admin.Question{Method: c.method, URL: "http://clock.test:PORT" + c.path, Header: append([]string{"Host: clock.test"}, c.headers...), Client: "127.0.0.1"})
		var text strings.Builder
		if err := cli.WriteExplanation(&text, e); err != nil {
			t.Fatal(err)
		}
		for _, want := range append(c.want, "listener") {
			if want = strings.ReplaceAll(want, "$DIR", r.dir); !strings.Contains(text.String(), want) {
				t.Errorf("%s %s: the explanation has no %q:\n%s", c.method, c.path, want, text.String())
			}
		}
		status := 0
		if e.Response != nil {
			status = e.Response.Status
		}
		if status != c.status {
			t.Errorf("%s %s: explained as %d, want %d", c.method, c.path, status, c.status)
		}
		conn := r.dial()
		head := c.method + " " + c.path + " HTTP/1.1\r\nHost: clock.test\r\nConnection: close\r\n"
		for _, h := range c.headers {
			head += h + "\r\n"
		}
		if c.method == "POST" {
			head += "Content-Length: 0\r\n"
		}
		conn.Send(head + "\r\n")
		if real := conn.ReadResponse(c.method); real.Status() != max(status, 200) {
			t.Errorf("%s %s: explained as %d, got %d", c.method, c.path, status, real.Status())
		}
	}
}

func TestExplainHosts(t *testing.T) {
	r, _ := explained(t)
	for host, why := range map[string]string{
		"clock.test": "by its name clock.test", "CLOCK.test.": "by its name clock.test", "a.b.wild.test": "by the wildcard *.wild.test",
		"wild.test": "", "other.test": "",
	} {
		e := r.explain(admin.Question{URL: "http://" + host + ":PORT/ping"})
		if why == "" {
			if e.Site != nil || e.Response == nil || e.Response.Status != 404 || !strings.Contains(e.Response.Reason, "no site") {
				t.Errorf("%s: %+v %+v", host, e.Site, e.Response)
			}
		} else if e.Site == nil || e.Site.Why != why {
			t.Errorf("%s: %+v, want %q", host, e.Site, why)
		}
	}
	r.write("maintenance", "")
	lbtest.Eventually(t, "maintenance is explained", func() bool {
		e := r.explain(admin.Question{URL: "http://clock.test:PORT/ping"})
		return e.Response.Status == 503 && strings.Contains(e.Response.Reason, "maintenance")
	})
}

// TestExplainBackends: shares, states and reasons, the backend of a key. No backend gets a request.
func TestExplainBackends(t *testing.T) {
	r, backends := explained(t)
	client := &cli.Client{Addr: r.AdminAddr().String()}
	office := admin.Question{URL: "http://clock.test:PORT/office/", Client: "10.1.2.3", Header: []string{"X-User: ann"}}
	e := r.explain(office)
	if len(e.Pools) != 2 || e.Pools[0].Share != 0.75 || e.Pools[1].Share != 0.25 || e.Response != nil {
		t.Fatalf("%+v", e)
	}
	if text := fmt.Sprint(e.Rules); strings.Contains(text, "c2VjcmV0") || !strings.Contains(text, "sets Authorization") {
		t.Errorf("rules: %s", text)
	}
	office.Client = "10.9.1.1"
	if e := r.explain(office); e.Response == nil || e.Response.Status != 403 || len(e.Pools) > 0 {
		t.Errorf("a denied client: %+v", e.Response)
	}
	office.Client = ""
	if e := r.explain(office); e.Response != nil || !strings.Contains(fmt.Sprint(e.Notes), "-client") {
		t.Errorf("an unknown client: %+v %v", e.Response, e.Notes)
	}

	// The predicted backend gets the request.
	for user := range 20 {
		name := fmt.Sprintf("user-%d", user)
		choice := r.explain(admin.Question{URL: "http://clock.test:PORT/", Header: []string{"X-User: " + name}}).Pools[0].Choice
		before := asked(t, r, choice)
		if got := r.get("/", "Host: clock.test", "X-User: "+name); got.Status() != 200 {
			t.Fatalf("status %d", got.Status())
		}
		lbtest.Eventually(t, choice+" has had the request of "+name, func() bool { return asked(t, r, choice) == before+1 })
	}
	if e := r.explain(admin.Question{URL: "http://clock.test:PORT/"}); e.Pools[0].Choice != "" || !strings.Contains(e.Pools[0].KeyWhy, "-client") {
		t.Errorf("a key that is not known: %q %q", e.Pools[0].Choice, e.Pools[0].KeyWhy)
	}

	for i, want := range []string{"drain", "maint"} {
		if _, err := client.SetAdmin(t.Context(), "app", backends[i], want); err != nil {
			t.Fatal(err)
		}
	}
	p := r.explain(admin.Question{URL: "http://clock.test:PORT/", Client: "10.1.2.3"}).Pools[0]
	if p.Tier != "backup" || p.Choice != backends[2] || !p.Backends[2].Used {
		t.Errorf("%+v", p)
	}
	for i, want := range []string{"drain: ", "maint: "} {
		if b := p.Backends[i]; b.Used || !strings.HasPrefix(b.Why, want) || b.Since == nil {
			t.Errorf("%+v", b)
		}
	}
	if _, err := client.SetAdmin(t.Context(), "app", backends[2], "drain"); err != nil {
		t.Fatal(err)
	}
	if p = r.explain(admin.Question{URL: "http://clock.test:PORT/"}).Pools[0]; p.Tier != "none" || !strings.Contains(p.Why, "503") {
		t.Errorf("%+v", p)
	}
	if got := r.get("/", "Host: clock.test"); got.Status() != 503 {
		t.Errorf("with all drained: %d", got.Status())
	}
}

// asked returns the number of requests that a backend of app has had.
func asked(t *testing.T, r *running, backend string) uint64 {
	t.Helper()
	b, err := (&cli.Client{Addr: r.AdminAddr().String()}).Backend(t.Context(), "app", backend)
	if err != nil {
		t.Fatal(err)
	}
	return b.Requests
}

// TestExplainHidesSecrets: a header field that a route matches may be a shared secret.
func TestExplainHidesSecrets(t *testing.T) {
	cfg, diags := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte(strings.Replace(sitesOK, "route \"/\" {", "route \"/\" {\n    headers = { \"X-Secret\" = \"CANARY\", \"X-A\" = \"b\" }", 1) + "listen \":80\" {}\n")}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	e, err := server.ExplainConfig(cfg, admin.Question{URL: "http://a/"})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := cli.WriteExplanation(&out, e); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Contains(text, "CANARY") || !strings.Contains(text, "X-Secret: ********") || !strings.Contains(text, "X-A: b") {
		t.Errorf("%s", text)
	}
}

func TestExplainListeners(t *testing.T) {
	cfg, diags := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte(`
listen "127.0.0.1:80" { redirect_https = true }
listen "127.0.0.1:8080" {}
site "s" {
  route "/" {
    proxy { pool = "app" }
  }
}
pool "app" {
  balance = "hash"
  backend "127.0.0.1:1" { weight = 0 }
  backend "127.0.0.1:2" {}
  backend "127.0.0.1:3" { backup = true }
  discover "file" { path = "` + filepath.ToSlash(filepath.Join(t.TempDir(), "backends")) + `" }
}
`)}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, c := range []struct {
		url, listener string
		status        int
	}{
		{"http://a/", "127.0.0.1:80", 308}, {"http://a:8080/", "127.0.0.1:8080", 0}, {"http://a:9/", "127.0.0.1:80", 308}, {"https://a/", "", 0},
	} {
		e, err := server.ExplainConfig(cfg, admin.Question{URL: c.url, Client: "192.0.2.1"})
		if err != nil {
			t.Fatal(err)
		}
		first := ""
		if len(e.Listeners) > 0 {
			first = e.Listeners[0].Address
		}
		status := 0
		if e.Response != nil {
			status = e.Response.Status
		}
		if first != c.listener || status != c.status {
			t.Errorf("%s: listener %q, status %d", c.url, first, status)
		}
		if status != 0 {
			continue
		}
		p := e.Pools[0]
		if !e.Offline || p.Tier != "" || p.Choice != "127.0.0.1:2" || len(p.Backends) != 2 || p.Backends[0].State != "unknown" {
			t.Errorf("%s: %+v", c.url, p)
		}
		if notes := fmt.Sprint(e.Notes); !strings.Contains(notes, "127.0.0.1:1 of pool app has weight 0") || !strings.Contains(notes, "file:") {
			t.Errorf("notes %s", notes)
		}
	}
}

// TestExplainWrongScheme: a URL with the port of a listener for the other scheme gets a message that says so.
func TestExplainWrongScheme(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir+"/c", 1, "a")
	cfg, diags := config.Parse([]config.Source{{Name: "lb.hcl", Text: []byte("listen \"127.0.0.1:80\" {}\nlisten \"127.0.0.1:8443\" {\n  tls {\n    certificate {\n      cert = \"" +
		dir + "/c.pem\"\n      key = \"" + dir + "/c.key\"\n    }\n  }\n}\n" + sitesOK)}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for _, c := range []struct{ url, listener, why string }{
		{"http://a:9/", "127.0.0.1:80", "no listener has port 9; as if this one were meant"},
		{"http://a:8443/", "127.0.0.1:80", "the listener on port 8443 does not speak http; as if this one were meant"},
		{"https://a:80/", "127.0.0.1:8443", "the listener on port 80 does not speak https; as if this one were meant"},
		{"https://a:8443/", "127.0.0.1:8443", ""},
	} {
		e, err := server.ExplainConfig(cfg, admin.Question{URL: c.url})
		if err != nil {
			t.Fatal(err)
		}
		if l := e.Listeners; len(l) != 1 || l[0].Address != c.listener || l[0].Why != c.why {
			t.Errorf("%s: %+v, want %s: %q", c.url, l, c.listener, c.why)
		}
	}
}

// TestExplainMistakes: meaningless questions are refused with a remedy.
func TestExplainMistakes(t *testing.T) {
	r := start(t, "site \"s\" {\n  route \"/\" {\n    respond {\n      status = 200\n    }\n  }\n}\n")
	for _, c := range []struct{ query, want string }{
		{"url=" + url.QueryEscape("clock.test/x"), "needs a scheme and a host"},
		{"url=/x", "needs a scheme and a host"},
		{"url=ftp://a/", "needs a scheme and a host"},
		{"url=" + url.QueryEscape("http://a b/"), "cannot read the URL"},
		{"url=" + url.QueryEscape("http://a/\x01"), "cannot read the URL"},
		{"url=http://a/&header=X", "Name: value"},
		{"url=http://a/&header=" + url.QueryEscape("X: a\r\nY: b"), "Name: value"},
		{"url=http://a/&client=localhost", "192.0.2.1"},
		{"method=GET", "the URL is missing"},
	} {
		status, body := r.askAdmin("GET", "/api/v1/explain?"+c.query)
		var failure admin.Failure
		if json.Unmarshal([]byte(body), &failure) != nil || status != 400 || !strings.Contains(failure.Error, c.want) {
			t.Errorf("%s: %d %s", c.query, status, body)
		}
	}
	// A request that lb would refuse is a valid question.
	for _, query := range []string{"url=http://a/&method=" + url.QueryEscape("G T"), "url=http://a/&header=" + url.QueryEscape("a b: c")} {
		if status, body := r.askAdmin("GET", "/api/v1/explain?"+query); status != 200 || !strings.Contains(body, `"status":400`) {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}
