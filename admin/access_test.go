package admin

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

const testToken = "s3cret token"

func TestToken(t *testing.T) {
	pools, _ := twoPools()
	base := "http://" + serve(t, Options{Token: testToken, Pools: pools})
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if got := ask(t, "GET", base+path, ""); got.status != 200 {
			t.Errorf("%s without a token: %d", path, got.status)
		}
	}
	for _, path := range []string{"/api/v1/pools", "/debug/pprof/", "/nothing", "/metrics/", "//metrics", "/api/v1/pools/app/backends/x"} {
		got := ask(t, "GET", base+path, "")
		wantError(t, path, got, 401)
		if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", path, got.header.Get("WWW-Authenticate"))
		}
	}
	for value, status := range map[string]int{
		"Bearer " + testToken:       200,
		"bearer " + testToken:       200, // RFC 9110 section 11.1: the scheme's case does not matter
		"Bearer  " + testToken:      200,
		"Bearer":                    401,
		"Bearer ":                   401,
		"Bearer " + testToken + "x": 401,
		"Bearer s3cret":             401,
		"Basic " + testToken:        401,
		testToken:                   401,
	} {
		if got := ask(t, "GET", base+"/api/v1/pools", "", "Authorization", value); got.status != status {
			t.Errorf("%q: %d, want %d", value, got.status, status)
		}
	}
	// With a token, any host name is accepted.
	if got := ask(t, "GET", base+"/api/v1/pools", "", "Authorization", "Bearer "+testToken, "Host", "lb.example.com"); got.status != 200 {
		t.Errorf("another host with the token: %d", got.status)
	}
}

// Without a token, requests with an unexpected host name are refused (DNS rebinding).
func TestHost(t *testing.T) {
	address := serve(t, Options{Listen: "lbhost:9900"})
	_, port, _ := net.SplitHostPort(address)
	for host, expected := range map[string]bool{
		address: true, "localhost": true, "localhost:" + port: true, "LOCALHOST": true, "localhost.": true,
		"127.0.0.1": true, "127.8.9.10:1": true, "[::1]": true, "[::1]:80": true, "[::ffff:127.0.0.1]": true, "lb.localhost": true,
		"lbhost": true, "lbhost:9900": true,
		"evil.example": false, "evil.example:" + port: false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"evillocalhost": false, "10.0.0.1": false, "0.0.0.0": false, "[::]": false, "[::1": false, "2130706433": false,
	} {
		for _, path := range []string{"/api/v1/pools", "/metrics", "/"} {
			got := ask(t, "GET", "http://"+address+path, "", "Host", host)
			if expected && got.status != 200 {
				t.Errorf("%s by %q: %d", path, host, got.status)
			}
			if !expected && got.status != 400 { // net/http refuses an invalid host
				if got.status != 421 {
					t.Errorf("%s by %q: %d", path, host, got.status)
					continue
				}
				wantError(t, path+" by "+host, got, 421)
			}
		}
		if expected {
			continue
		}
		if got := ask(t, "GET", "http://"+address+"/healthz", "", "Host", host); got.status != 200 && got.status != 400 {
			t.Errorf("/healthz by %q: %d", host, got.status) // load balancers in front of lb use any name
		}
	}
}

// A request that another site's page can make a browser send must change nothing.
func TestCrossOrigin(t *testing.T) {
	pools, _ := twoPools()
	open := serve(t, Options{Pools: pools})
	closed := serve(t, Options{Pools: pools, Token: testToken})
	cookie := []string{"Cookie", login(t, "http://"+closed)}
	bearer := []string{"Authorization", "Bearer " + testToken}
	for _, c := range []struct {
		name, address string
		headers       []string
		status        int
	}{
		{"no browser", open, nil, 200},
		{"same origin", open, []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"typed", open, []string{"Sec-Fetch-Site", "none"}, 200},
		{"cross site", open, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"same site, another port", open, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"old browser, own origin", open, []string{"Origin", "http://" + open}, 200},
		{"old browser, other origin", open, []string{"Origin", "http://evil.example"}, 403},
		{"old browser, hidden origin", open, []string{"Origin", "null"}, 403},
		{"session, same origin", closed, append(cookie, "Sec-Fetch-Site", "same-origin"), 200},
		{"session, cross site", closed, append(cookie, "Sec-Fetch-Site", "cross-site"), 403},
		{"no session, cross site", closed, []string{"Sec-Fetch-Site", "cross-site"}, 401},
		{"token, cross site", closed, append(bearer, "Sec-Fetch-Site", "cross-site"), 200},
	} {
		got := ask(t, "PUT", "http://"+c.address+"/api/v1/pools/app/backends/127.0.0.1:5000", `{"admin":"ready"}`, c.headers...)
		if got.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, got.status, got.body, c.status)
		}
	}
}

// login returns the cookie of a new session.
func login(t *testing.T, base string) string {
	t.Helper()
	got := ask(t, "POST", base+"/login", url.Values{"token": {testToken}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	pair, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	if got.status != 303 || !strings.HasPrefix(pair, sessionCookie+"=") {
		t.Fatalf("login: %d %v", got.status, got.header)
	}
	return pair
}

// A page of another origin reads nothing of the API either, nor does it start a profile or take the place of a reader
// of events. It may link to the dashboard, and what has no secrets stays open.
func TestCrossOriginReads(t *testing.T) {
	pools, _ := twoPools()
	options := Options{Pools: pools, Events: &Events{}, Status: func() Status { return Status{} }}
	open := serve(t, options)
	options.Token = testToken
	closed := serve(t, options)
	cookie := login(t, "http://"+closed)
	foreign := map[string][]string{
		"cross site":                          {"Sec-Fetch-Site", "cross-site"},
		"same site, another port":             {"Sec-Fetch-Site", "same-site"},
		"what is yet to come":                 {"Sec-Fetch-Site", "x"},
		"old browser, other origin":           {"Origin", "http://evil.example"},
		"old browser, own host, another port": {"Origin", "http://127.0.0.1:1"},
		"old browser, hidden origin":          {"Origin", "null"},
	}
	own := map[string][]string{
		"program": nil, "dashboard": {"Sec-Fetch-Site", "same-origin"}, "typed": {"Sec-Fetch-Site", "none"},
	}
	for _, path := range []string{"/api/v1/pools", "/api/v1/pools/app", "/api/v1/status", "/debug/pprof/", "/debug/pprof/cmdline", "/nothing"} {
		for _, method := range []string{"GET", "HEAD"} {
			for name, headers := range foreign {
				for _, base := range []string{"http://" + open, "http://" + closed} {
					got := ask(t, method, base+path, "", append([]string{"Cookie", cookie}, headers...)...)
					if got.status != 403 {
						t.Errorf("%s %s, %s: %d", method, path, name, got.status)
					}
				}
			}
			for name, headers := range own {
				got := ask(t, method, "http://"+closed+path, "", append([]string{"Cookie", cookie}, headers...)...)
				if got.status != 200 && path != "/nothing" {
					t.Errorf("%s %s, %s: %d", method, path, name, got.status)
				}
			}
		}
		bearer := []string{"Authorization", "Bearer " + testToken, "Sec-Fetch-Site", "cross-site"}
		if got := ask(t, "GET", "http://"+closed+path, "", bearer...); got.status == 403 {
			t.Errorf("%s with the token: %d", path, got.status)
		}
	}
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz"} {
		got := ask(t, "GET", "http://"+open+path, "", "Sec-Fetch-Site", "cross-site")
		if got.status != 200 || got.header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
}

// A wrong token costs a 401, and after some of them a 429; the right one is taken at any time.
func TestWrongTokens(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := New(Options{Token: testToken, Log: hclog.New(&hclog.LoggerOptions{Output: &log})})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()
	base := "http://" + ln.Addr().String()
	wrong := map[string]func() testResponse{
		"Bearer": func() testResponse { return ask(t, "GET", base+"/api/v1/pools", "", "Authorization", "Bearer wrong") },
		"form": func() testResponse {
			return ask(t, "POST", base+"/login", "token=wrong", "Content-Type", "application/x-www-form-urlencoded")
		},
	}
	tries := 0
	for try := wrong["Bearer"]; try().status == 401; tries++ {
		if tries == 20*failuresOfOne {
			t.Fatal("never a 429")
		}
	}
	if tries < failuresOfOne {
		t.Errorf("a 429 after %d wrong tokens", tries)
	}
	for name, try := range wrong {
		got := try()
		if wait, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != 429 || err != nil || wait < 1 || wait > 60 {
			t.Errorf("%s: %d, Retry-After %q", name, got.status, got.header.Get("Retry-After"))
		}
	}
	if got := ask(t, "GET", base+"/api/v1/pools", ""); got.status != 401 {
		t.Errorf("without a token: %d", got.status) // this was no wrong token
	}
	cookie := login(t, base)
	for _, headers := range [][]string{{"Authorization", "Bearer " + testToken}, {"Cookie", cookie}} {
		if got := ask(t, "GET", base+"/api/v1/pools", "", headers...); got.status != 200 {
			t.Errorf("with the right token: %d", got.status)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// The first failure, and one line for all others.
	if lines := strings.Count(log.String(), "wrong admin token"); lines != 2 || !strings.Contains(log.String(), fmt.Sprintf("count=%d", tries+2)) {
		t.Errorf("%d lines after %d wrong tokens:\n%s", lines, tries+3, log.String())
	}
	if strings.Contains(log.String(), testToken) {
		t.Error("the token is in the log")
	}
}

// There is a limit for each client and one for all together, and both are replenished.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := newFailures(hclog.New(&hclog.LoggerOptions{Output: &log}))
		for range failuresOfOne {
			if wait := f.add("192.0.2.1:1", time.Now()); wait != 0 {
				t.Fatalf("wait %v", wait)
			}
		}
		wait := f.add("192.0.2.1:2", time.Now())
		if wait <= 0 || wait > failureWindow/failuresOfOne {
			t.Errorf("wait %v", wait)
		}
		if f.add("[2001:db8::1]:1", time.Now()) != 0 {
			t.Error("another client waits")
		}
		time.Sleep(wait)
		if f.add("192.0.2.1:3", time.Now()) != 0 || f.add("192.0.2.1:4", time.Now()) == 0 {
			t.Error("after the wait not exactly one more")
		}
		time.Sleep(failureWindow)
		// A /64 network is one client, and many clients are bounded by the common limit.
		for i := range failuresOfOne {
			f.add(fmt.Sprintf("[2001:db8::%x]:1", i), time.Now())
		}
		if f.add("[2001:db8::ffff]:1", time.Now()) == 0 {
			t.Error("another address of the network does not wait")
		}
		taken := 0
		for i := range 65536 {
			if f.add(fmt.Sprintf("10.0.%d.%d:1", i>>8, i&255), time.Now()) == 0 {
				taken++
			}
		}
		if taken > failuresOfAll {
			t.Errorf("%d wrong tokens at once", taken)
		}
		// A line in each window while there are failures, however many; then silence, and a line at once for the next.
		time.Sleep(2 * failureWindow)
		synctest.Wait()
		if lines := strings.Count(log.String(), "\n"); lines > 4 {
			t.Errorf("%d lines:\n%s", lines, log.String())
		}
		log.Reset()
		f.add("unix", time.Now())
		if log.Len() == 0 {
			t.Error("no line for one failure")
		}
		f.stop()
		f.stop()
	})
}

// A session ends with a logout, for each copy of its cookie and for what is still being sent; with its time; and with
// the server, so also with the token.
func TestSessions(t *testing.T) {
	pools, _ := twoPools()
	events := &Events{}
	base := "http://" + serve(t, Options{Token: testToken, Pools: pools, Events: events})
	cookie, other := login(t, base), login(t, base)
	if got := ask(t, "GET", base+"/api/v1/pools", "", "Cookie", cookie); got.status != 200 {
		t.Errorf("in the session: %d", got.status)
	}
	stream := make(chan testResponse, 1)
	go func() { stream <- ask(t, "GET", base+"/api/v1/events", "", "Cookie", cookie) }()
	eventually(t, "a reader of events", func() bool { return readers(events) == 1 })

	got := ask(t, "POST", base+"/logout", "", "Cookie", cookie)
	if got.status != 303 || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %v", got.status, got.header)
	}
	wantError(t, "a copy of the cookie", ask(t, "GET", base+"/api/v1/pools", "", "Cookie", cookie), 401)
	<-stream
	if got := ask(t, "GET", base+"/api/v1/pools", "", "Cookie", other); got.status != 200 {
		t.Errorf("the other session: %d", got.status)
	}
	again := "http://" + serve(t, Options{Token: testToken, Pools: pools})
	wantError(t, "another server", ask(t, "GET", again+"/api/v1/pools", "", "Cookie", other), 401)
	for _, value := range []string{"", "!!!", testToken, strings.Repeat("A", 26)} {
		wantError(t, "the cookie "+value, ask(t, "GET", base+"/api/v1/pools", "", "Cookie", sessionCookie+"="+value), 401)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions()
		defer s.endAll()
		in := func(value string) bool {
			return s.find(&http.Request{Header: http.Header{"Cookie": {sessionCookie + "=" + value}}}, time.Now()) != nil
		}
		first := s.begin(time.Now())
		time.Sleep(time.Second)
		second := s.begin(time.Now())
		time.Sleep(time.Second)
		for range maxSessions - 1 {
			s.begin(time.Now())
		}
		if len(s.open) != maxSessions || in(first) || !in(second) {
			t.Errorf("%d sessions; the first: %v, the second: %v", len(s.open), in(first), in(second))
		}
		time.Sleep(sessionLifetime - 2*time.Second)
		if !in(second) {
			t.Error("ended early")
		}
		time.Sleep(2 * time.Second)
		if in(second) {
			t.Error("does not end")
		}
		s.begin(time.Now())
		if len(s.open) != 1 {
			t.Errorf("%d sessions when all but one have ended", len(s.open))
		}
	})
}

func TestLogin(t *testing.T) {
	base := "http://" + serve(t, Options{Token: testToken})
	form := func(token string) string { return url.Values{"token": {token}}.Encode() }
	const urlencoded = "application/x-www-form-urlencoded"

	got := ask(t, "GET", base+"/", "")
	if got.status != 401 || !strings.Contains(got.body, `type="password"`) || strings.Contains(got.body, "<script") {
		t.Errorf("page without a session: %d %s", got.status, got.body)
	}
	got = ask(t, "POST", base+"/login", form("wrong"), "Content-Type", urlencoded)
	if got.status != 401 || got.header.Get("Set-Cookie") != "" {
		t.Errorf("wrong token: %d %v", got.status, got.header)
	}
	got = ask(t, "POST", base+"/login", form(testToken), "Content-Type", urlencoded, "Sec-Fetch-Site", "cross-site")
	wantError(t, "login from another site", got, 403)
	got = ask(t, "POST", base+"/login", form(testToken), "Content-Type", urlencoded)
	cookie := got.header.Get("Set-Cookie")
	if got.status != 303 || got.header.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") ||
		!strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, testToken) {
		t.Fatalf("login: %d %v", got.status, got.header)
	}
	pair, _, _ := strings.Cut(cookie, ";")
	for _, path := range []string{"/", "/api/v1/pools"} {
		if got := ask(t, "GET", base+path, "", "Cookie", pair); got.status != 200 {
			t.Errorf("%s in the session: %d", path, got.status)
		}
	}
}

func TestDashboard(t *testing.T) {
	got := ask(t, "GET", "http://"+serve(t, Options{})+"/", "")
	if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", got.status, got.header)
	}
	policy := got.header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	files, err := fs.Glob(dashboardFiles, "dashboard/*.js")
	if err != nil || len(files) != len(scripts) {
		t.Errorf("of %v the page has %v (%v)", files, scripts, err)
	}
	for _, element := range []string{"script", "style"} {
		_, rest, _ := strings.Cut(got.body, "<"+element+">")
		text, _, found := strings.Cut(rest, "</"+element+">")
		if !found || len(text) < 100 || !strings.Contains(policy, digest(text)) {
			t.Errorf("the policy does not allow the page's own %s", element)
		}
	}
	for _, external := range []string{"http://", "https://", "src=", "@import", "innerHTML", `style="`, "onclick="} {
		if strings.Contains(got.body, external) {
			t.Errorf("the page has %s", external)
		}
	}
}
