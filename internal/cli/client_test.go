package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lb/admin"
	"lb/pool"
)

func TestClient(t *testing.T) {
	pools, _ := twoPools()
	diagnostics, refused := "a warning", error(nil)
	client := &Client{Token: testToken, Addr: serve(t, admin.Options{
		Token: testToken, Pools: pools,
		Status: func() admin.Status { return admin.Status{Version: "v9"} },
		Reload: func(context.Context) (string, error) { return diagnostics, refused },
		Explain: func(q admin.Question) (*admin.Explanation, error) {
			return &admin.Explanation{Method: q.Method, URL: q.URL, Client: q.Client, Notes: q.Header}, nil
		},
	})}
	ctx := t.Context()
	t.Setenv("http_proxy", "http://127.0.0.1:1") // must not be used

	if s, err := client.Status(ctx); err != nil || s.Version != "v9" {
		t.Errorf("status: %+v %v", s, err)
	}
	got, err := client.Pools(ctx)
	if err != nil || len(got) != 2 || got[0].Name != "app" || len(got[0].Backends) != 2 || got[0].Backends[1].Weight != 3 {
		t.Errorf("pools: %+v %v", got, err)
	}
	if b, err := client.SetAdmin(ctx, `odd "pool"/x`, "unix:/run/app.sock", "drain"); err != nil || b.Admin != "drain" {
		t.Errorf("%+v %v", b, err)
	}
	if b := pools()[1].Backend("unix:/run/app.sock"); b.AdminState() != pool.Drain {
		t.Errorf("state %v", b.AdminState())
	}
	if b, err := client.SetWeight(ctx, "app", "127.0.0.1:5000", 9); err != nil || b.Weight != 9 || pools()[0].Backend("127.0.0.1:5000").Weight() != 9 {
		t.Errorf("weight: %v", err)
	}
	q := admin.Question{Method: "PUT", URL: "http://a/b?c=d&e", Header: []string{"A: b&c", "D: e"}, Client: "192.0.2.1"}
	e, err := client.Explain(ctx, q)
	if err != nil || e.Method != "PUT" || e.URL != q.URL || e.Client != q.Client || len(e.Notes) != 2 || e.Notes[0] != "A: b&c" {
		t.Errorf("explain: %+v %v", e, err)
	}
	if d, err := client.Reload(ctx); err != nil || d != diagnostics {
		t.Errorf("reload: %q %v", d, err)
	}
	diagnostics, refused = "lb.hcl:7: wrong\n", errors.New("the configuration has 1 error")
	_, err = client.Reload(ctx)
	var response *ResponseError
	if !errors.As(err, &response) || response.Status != 422 || response.Diagnostics != diagnostics ||
		err.Error() != "the configuration has 1 error\nlb.hcl:7: wrong" {
		t.Errorf("refused reload: %v", err)
	}
	if _, err := client.SetAdmin(ctx, "app", "nobody", "drain"); !errors.As(err, &response) || response.Status != 404 ||
		err.Error() != `no backend "nobody" in pool "app". There are: 127.0.0.1:5000, 127.0.0.1:5001` {
		t.Errorf("unknown backend: %v", err)
	}
	client.Token = "wrong"
	if _, err := client.Pools(ctx); !errors.As(err, &response) || response.Status != 401 || !strings.Contains(err.Error(), "-token") {
		t.Errorf("wrong token: %v", err)
	}
}

func TestClientUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	_, err = (&Client{Addr: addr}).Pools(t.Context())
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.HasPrefix(err.Error(), "cannot reach lb's admin listener at "+addr+": ") ||
		!strings.HasSuffix(err.Error(), "is lb running? if it is, use -admin ADDR") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error %v", err)
	}
	for _, addr := range []string{"no port", "%zz", "unix:/does/not/exist"} {
		if _, err := (&Client{Addr: addr}).Pools(t.Context()); !errors.As(err, &unreachable) {
			t.Errorf("%q: %v", addr, err)
		}
	}
}

// TestClientNamesItsSources: errors say where address and token came from, and never contain the token.
func TestClientNamesItsSources(t *testing.T) {
	const wrong = "a secret of the client"
	addr := serve(t, admin.Options{Token: testToken})
	for _, c := range []struct {
		client Client
		want   string
	}{
		{Client{Addr: addr, From: "lb.hcl:4", Token: wrong, TokenFrom: "lb.hcl:5"}, addr + " (lb.hcl:4) rejects the token of lb.hcl:5; use -token TOKEN"},
		{Client{Addr: addr, From: "-admin", Token: wrong}, addr + " (-admin) rejects the token; use -token TOKEN"},
		{Client{Addr: addr, TokenFrom: "lb.hcl has none"}, addr + " requires its token, and lb.hcl has none; use -token TOKEN"},
		{Client{Addr: "unix:/does/not/exist", From: "lb.hcl:4", Remedy: "look there"}, "at unix:/does/not/exist (lb.hcl:4): connect: no such file or directory; is lb running? if it is, look there"},
	} {
		if _, err := c.client.Pools(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), wrong) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		":9900": "127.0.0.1:9900", "0.0.0.0:9900": "127.0.0.1:9900", "[::]:9900": "127.0.0.1:9900", "[::ffff:0.0.0.0]:9900": "127.0.0.1:9900",
		"127.0.0.1:9900": "127.0.0.1:9900", "[::1]:9900": "[::1]:9900", "10.0.0.1:9900": "10.0.0.1:9900", "localhost:9900": "localhost:9900",
		"http://0.0.0.0:9900/": "127.0.0.1:9900", "unix:/run/lb/admin.sock": "unix:/run/lb/admin.sock", "no port": "no port", "": "",
	} {
		if got := Reachable(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// The port may belong to another program.
func TestClientOfAnotherServer(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
	}{{200, "<html>"}, {404, "404 page not found"}, {502, `{"message":"x"}`}} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		}))
		_, err := (&Client{Addr: other.Listener.Addr().String()}).Pools(t.Context())
		if err == nil || !strings.Contains(err.Error(), "is not lb's admin listener") {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
		other.Close()
	}
}

func TestTable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b strings.Builder
	err := writeTable(&b, []pool.PoolStatus{
		{Name: "app", Panic: true, Backends: []pool.BackendStatus{
			{Address: "127.0.0.1:5000", Weight: 1, Usable: true, State: "up", Passive: "ok", InFlight: 3, MaxConns: 10, Requests: 1200, EWMAMillis: 12.34,
				LastChange: &pool.Change{Time: now.Add(-time.Hour), Reason: "not shown: all is well"},
				LastCheck:  &pool.Check{OK: true, Time: now.Add(-time.Second), Millis: 1.26}},
			{Address: "127.0.0.1:5001", Weight: 2, ConfiguredWeight: 1, State: "down", Passive: "ok", Backup: true, Errors: 7,
				LastChange: &pool.Change{Time: now.Add(-time.Second), Reason: "not shown: another weight"},
				Cause:      &pool.Change{Time: now.Add(-90 * time.Second), Reason: "status 500\x1b[2J\n"},
				LastCheck:  &pool.Check{Error: "status 500", Time: now.Add(-2 * time.Second)}},
			{Address: "127.0.0.1:5002", Weight: 1, Usable: true, State: "up", Passive: "trial",
				LastChange: &pool.Change{Time: now.Add(-50 * time.Hour)}},
		}},
		{Name: "empty"},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := `POOL         BACKEND         STATE                                   WEIGHT            IN-FLIGHT  REQUESTS  ERRORS  EWMA    LAST CHECK
app (panic)  127.0.0.1:5000  up                                      1                 3/10       1200      0       12.3ms  passed in 1.3ms, 1s ago
             127.0.0.1:5001  down, backup (status 500 [2J , 1m ago)  2 (configured 1)  0          0         7       -       failed: status 500, 2s ago
             127.0.0.1:5002  up, on trial (2d ago)                   1                 0          0         0       -       -
empty        (no backend)
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
