package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/internal/limits"
	"lb/pool"
	"lb/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on a loopback port until the test ends, and returns its address.
func serve(t *testing.T, o Options) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, o, ln)
	return ln.Addr().String()
}

func serveOn(t *testing.T, o Options, ln net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	server := New(o)
	go func() { ended <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve has not returned")
		}
	})
}

// twoPools is a pool app with two backends, and one whose name and backend need escaping.
func twoPools() (func() []*pool.Pool, *telemetry.Registry) {
	registry := telemetry.NewRegistry()
	pools := []*pool.Pool{
		pool.New(pool.Options{Name: "app", Balance: "round_robin", Telemetry: registry, Members: []pool.Member{
			{Address: "127.0.0.1:5000", Weight: 1}, {Address: "127.0.0.1:5001", Weight: 3, Backup: true},
		}}),
		pool.New(pool.Options{Name: `odd "pool"/x`, Balance: "hash", Telemetry: registry, Members: []pool.Member{
			{Address: "unix:/run/app.sock"},
		}}),
	}
	return func() []*pool.Pool { return pools }, registry
}

type testResponse struct {
	status int
	header http.Header
	body   string
}

// ask sends one request; headers are name, value, …; "Host" sets the host.
func ask(t *testing.T, method, url, body string, headers ...string) testResponse {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return testResponse{response.StatusCode, response.Header, string(text)}
}

// wantError checks that a response is a JSON error with that status.
func wantError(t *testing.T, what string, got testResponse, status int) {
	t.Helper()
	var failure Failure
	if got.status != status || json.Unmarshal([]byte(got.body), &failure) != nil || failure.Error == "" ||
		got.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d %s %q, want %d with a JSON error", what, got.status, got.header.Get("Content-Type"), got.body, status)
	}
}

func TestEndpoints(t *testing.T) {
	pools, registry := twoPools()
	ready := true
	base := "http://" + serve(t, Options{
		Registry: registry, Pools: pools, Events: &Events{},
		Status: func() Status { return Status{Version: "v1", Sites: []Site{{Name: "clock"}}} },
		Ready:  func() bool { return ready },
		Config: func() any { return map[string]string{"token": "***"} },
		Explain: func(q Question) (*Explanation, error) {
			if q.URL == "bad" {
				return nil, errors.New("cannot parse the URL")
			}
			return &Explanation{Method: q.Method, URL: q.URL}, nil
		},
	})
	for _, c := range []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/metrics", 200, `lb_backend_up{pool="app",backend="127.0.0.1:5000"} 1`},
		{"HEAD", "/metrics", 200, ""},
		{"GET", "/healthz", 200, "ok"},
		{"GET", "/readyz", 200, "ready"},
		{"GET", "/api/v1/status", 200, `"version":"v1"`},
		{"GET", "/api/v1/config", 200, `"token":"***"`},
		{"GET", "/api/v1/explain?url=http://a/b", 200, `"url":"http://a/b"`},
		{"GET", "/api/v1/explain?url=/&method=PUT", 200, `"method":"PUT"`},
		{"GET", "/api/v1/explain?url=bad", 400, "cannot parse"},
		{"GET", "/api/v1/explain", 400, "URL"},
		{"GET", "/api/v1/pools", 200, `"address":"unix:/run/app.sock"`},
		{"GET", "/api/v1/pools/app", 200, `"weight":3`},
		{"GET", "/api/v1/pools/odd%20%22pool%22%2Fx", 200, `"hash"`},
		{"GET", "/api/v1/pools/app/backends/127.0.0.1:5001", 200, `"backup":true`},
		{"GET", "/api/v1/pools/odd%20%22pool%22%2Fx/backends/unix:/run/app.sock", 200, `"unix:/run/app.sock"`},
		{"GET", "/api/v1/pools/odd%20%22pool%22%2Fx/backends/unix%3A%2Frun%2Fapp.sock", 200, `"unix:/run/app.sock"`},
		{"GET", "/debug/pprof/", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{"GET", "/debug/pprof/profile?seconds=9999", 400, "600"},
		{"GET", "/debug/pprof/profile?seconds=NaN", 400, "600"},
		{"GET", "/api/v1/pools/none", 404, "none"},
		{"GET", "/api/v1/pools/app/backends/127.0.0.1:1", 404, "127.0.0.1:1"},
		{"GET", "/api/v1/pools/app/backends", 404, "backends"},
		{"GET", "/nothing", 404, "/nothing"},
		{"GET", "/api/v1/reload/x", 404, "error"},
		{"POST", "/api/v1/reload", 404, "error"}, // without a Reload function
		{"GET", "/login", 404, "error"},          // without a token
		{"POST", "/api/v1/pools", 405, "GET, HEAD"},
		{"DELETE", "/api/v1/pools/app/backends/127.0.0.1:5001", 405, "GET, HEAD, PUT"},
		{"POST", "/metrics", 405, "GET, HEAD"},
	} {
		got := ask(t, c.method, base+c.path, "")
		if got.status != c.status || !strings.Contains(got.body, c.contains) {
			t.Errorf("%s %s: %d %.300q, want %d and %q", c.method, c.path, got.status, got.body, c.status, c.contains)
		}
		if c.status >= 400 {
			wantError(t, c.method+" "+c.path, got, c.status)
		}
		if c.status == 405 && got.header.Get("Allow") != c.contains {
			t.Errorf("%s %s: Allow %q", c.method, c.path, got.header.Get("Allow"))
		}
		if got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: sniffing allowed", c.method, c.path)
		}
	}
	ready = false
	wantError(t, "not ready", ask(t, "GET", base+"/readyz", ""), 503)
	if got := ask(t, "GET", base+"/healthz", ""); got.status != 200 {
		t.Errorf("alive but not ready: %d", got.status)
	}
}

// A profile may take longer than other responses; net/http/pprof refuses it if the server has a WriteTimeout.
func TestProfile(t *testing.T) {
	base := "http://" + serve(t, Options{})
	if got := ask(t, "GET", base+"/debug/pprof/trace?seconds=0.05", ""); got.status != 200 || len(got.body) == 0 {
		t.Errorf("trace: %d %.100q", got.status, got.body)
	}
}

func TestSetBackend(t *testing.T) {
	pools, registry := twoPools()
	base := "http://" + serve(t, Options{Registry: registry, Pools: pools})
	b := pools()[0].Backend("127.0.0.1:5001")
	path := base + "/api/v1/pools/app/backends/127.0.0.1:5001"
	for _, c := range []struct {
		body          string
		status        int
		admin, weight string // after it
	}{
		{`{"admin":"drain"}`, 200, `"admin":"drain"`, `"weight":3`},
		{`{"weight":7}`, 200, `"admin":"drain"`, `"weight":7,"configured_weight":3`},
		{`{"admin":"maint","weight":2}`, 200, `"admin":"maint"`, `"weight":2,"configured_weight":3`},
		{`{"admin":"ready","weight":0}`, 200, `"admin":"ready"`, `"weight":3`},
		{`{"admin":"off"}`, 400, "", ""},
		{`{"weight":-1}`, 400, "", ""},
		{`{"weight":1000000}`, 400, "", ""},
		{`{"admin":"drain","weight":-1}`, 400, "", ""}, // none of it is applied
		{`{}`, 400, "", ""},
		{``, 400, "", ""},
		{`{"amdin":"drain"}`, 400, "", ""},
		{`{"admin":"drain"} x`, 400, "", ""},
		{`{"admin":"` + strings.Repeat("x", maxBody) + `"}`, 400, "", ""},
	} {
		got := ask(t, "PUT", path, c.body)
		if got.status != c.status || !strings.Contains(got.body, c.admin) || !strings.Contains(got.body, c.weight) {
			t.Errorf("%.60s: %d %.500s", c.body, got.status, got.body)
		}
		if c.status != 200 {
			wantError(t, c.body, got, c.status)
			if b.AdminState() != pool.Ready || b.Weight() != 3 {
				t.Fatalf("%.60s: refused, but now %v with weight %d", c.body, b.AdminState(), b.Weight())
			}
		}
	}
	wantError(t, "no backend", ask(t, "PUT", base+"/api/v1/pools/app/backends/1.2.3.4:5", `{"weight":1}`), 404)

	// Both ways to write an address with slashes, from the socket to the pool.
	odd := pools()[1].Backend("unix:/run/app.sock")
	for i, tail := range []string{"unix:/run/app.sock", "unix%3A%2Frun%2Fapp.sock"} {
		want := []pool.Admin{pool.Drain, pool.Maint}[i]
		got := ask(t, "PUT", base+"/api/v1/pools/odd%20%22pool%22%2Fx/backends/"+tail, `{"admin":"`+want.String()+`"}`)
		if got.status != 200 || odd.AdminState() != want {
			t.Errorf("%s: %d %s", tail, got.status, got.body)
		}
	}
}

func TestReload(t *testing.T) {
	var diagnostics string
	var err error
	base := "http://" + serve(t, Options{Reload: func(context.Context) (string, error) { return diagnostics, err }})
	diagnostics = "lb.hcl:3: pool \"x\" is not used"
	got := ask(t, "POST", base+"/api/v1/reload", "")
	var done Reloaded
	if json.Unmarshal([]byte(got.body), &done); got.status != 200 || done.Status != "reloaded" || done.Diagnostics != diagnostics {
		t.Errorf("%d %s", got.status, got.body)
	}
	diagnostics, err = "lb.hcl:7:3: unknown block\n  7 | listne {}", errors.New("the configuration has 1 error")
	got = ask(t, "POST", base+"/api/v1/reload", "")
	wantError(t, "refused", got, 422)
	var failure Failure
	if json.Unmarshal([]byte(got.body), &failure); failure.Diagnostics != diagnostics || failure.Error != err.Error() {
		t.Errorf("%s", got.body)
	}
	wantError(t, "GET", ask(t, "GET", base+"/api/v1/reload", ""), 405)
}

// Only a listener that other machines cannot reach may have no token.
func TestServeRefusesOpenListenerWithoutToken(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Options{}).Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("error %v", err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	if ln, err = net.Listen("tcp", "0.0.0.0:0"); err != nil {
		t.Fatal(err)
	}
	if err := New(Options{Token: strings.Repeat("x", limits.MinSecret-1)}).Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "16 characters") {
		t.Errorf("with a short token: %v", err)
	}
}

func TestServeOnUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	pools, _ := twoPools()
	serveOn(t, Options{Pools: pools}, ln)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	response, err := client.Get("http://localhost/api/v1/pools")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got []pool.PoolStatus
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || len(got) != 2 {
		t.Errorf("%v %v", got, err)
	}
}

// Serve does not wait for a connection without a request when it ends.
func TestServeEndsSilentConnections(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	pools, _ := twoPools()
	server := New(Options{Pools: pools})
	go func() { ended <- server.Serve(ctx, ln) }()
	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// It is accepted after the idle one.
	if a := ask(t, "GET", "http://"+ln.Addr().String()+"/api/v1/pools", ""); a.status != http.StatusOK {
		t.Fatal(a.status)
	}
	began := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took >= stopTimeout {
		t.Errorf("Serve ended after %v", took)
	}
}

// Serve returns the error that stopped it, or nil if the context ended.
func TestServeError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := New(Options{}).Serve(t.Context(), ln); err == nil || !strings.HasPrefix(err.Error(), "cannot serve the admin API on 127.0.0.1:") {
		t.Errorf("error %v", err)
	}
}
