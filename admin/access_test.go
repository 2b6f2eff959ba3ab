package admin

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
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
	// With a token, any name of the host will do.
	if got := ask(t, "GET", base+"/api/v1/pools", "", "Authorization", "Bearer "+testToken, "Host", "lb.example.com"); got.status != 200 {
		t.Errorf("another host with the token: %d", got.status)
	}
}

// Without a token, nothing that is asked for by an unexpected name is answered (DNS rebinding).
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
			if !expected && got.status != 400 { // net/http refuses what is no host at all
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
			t.Errorf("/healthz by %q: %d", host, got.status) // load balancers before us ask by any name
		}
	}
}

// What another site's page can make a browser send must change nothing.
func TestCrossOrigin(t *testing.T) {
	pools, _ := twoPools()
	open := serve(t, Options{Pools: pools})
	closed := serve(t, Options{Pools: pools, Token: testToken})
	session := newAccess(Options{Token: testToken}).newSession(time.Now())
	cookie := []string{"Cookie", sessionCookie + "=" + session}
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

func TestSessions(t *testing.T) {
	a, other := newAccess(Options{Token: testToken}), newAccess(Options{Token: "other"})
	now := time.Now()
	valid := a.newSession(now)
	for name, c := range map[string]struct {
		value string
		in    bool
	}{
		"valid":      {valid, true},
		"ended":      {a.newSession(now.Add(-sessionLifetime - time.Second)), false},
		"other key":  {other.newSession(now), false},
		"cut":        {valid[:len(valid)-2], false},
		"prolonged":  {"B" + valid[1:], false},
		"empty":      {"", false},
		"not base64": {"!!!", false},
		"the token":  {testToken, false},
	} {
		r := &http.Request{Header: http.Header{"Cookie": {sessionCookie + "=" + c.value}}}
		if a.inSession(r) != c.in {
			t.Errorf("%s: %v", name, !c.in)
		}
	}
	if a.inSession(&http.Request{Header: http.Header{}}) {
		t.Error("in a session without a cookie")
	}
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
	got = ask(t, "POST", base+"/logout", "", "Cookie", pair)
	if got.status != 303 || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %v", got.status, got.header)
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
