package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// access decides which requests the admin listener accepts.
type access struct {
	token    string
	host     string // of the address as configured
	sessions *sessions
	failures *failures
}

func newAccess(o Options) access {
	a := access{token: o.Token, sessions: newSessions(), failures: newFailures(o.Log)}
	if host, _, err := net.SplitHostPort(o.Listen); err == nil {
		a.host = host
	}
	return a
}

// guard passes on the requests that are allowed. It refuses, in this order, a request that a web page of another origin may
// have caused through a name that it has pointed here, one without the token, and one from a page of another origin.
func (a access) guard(listen net.Addr, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Header().Set("Cache-Control", "no-store")
		probe := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if a.token == "" && !probe && !a.expects(listen, r.Host) {
			fail(w, http.StatusMisdirectedRequest,
				"the Host header names another host: use a loopback address, or set admin.token")
			return
		}
		bearer, offered := a.bears(r)
		session := a.sessions.find(r, time.Now())
		open := probe || r.URL.Path == "/metrics" || r.URL.Path == "/login"
		if a.token != "" && !open && !bearer && session == nil {
			a.refuse(w, r, offered)
			return
		}
		// A page of another origin may link to the dashboard, whose requests are then of its own origin. It may not
		// cause other requests: a profile takes time, a stream of events takes a place, and the rest changes
		// something. It does not have the token.
		linkable := (open || r.URL.Path == "/") && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		if !linkable && !bearer && crossOrigin(r) {
			fail(w, http.StatusForbidden, "a browser sent this for a page of another origin: use the dashboard or the token")
			return
		}
		if !bearer && session != nil {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(session, cancel)() // a stream does not outlive the session
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// refuse responds to a request that has neither the token nor a session. offered reports that it has another token.
func (a access) refuse(w http.ResponseWriter, r *http.Request, offered bool) {
	if offered {
		if wait := a.failures.add(r.RemoteAddr, time.Now()); wait > 0 {
			fail(w, tooMany(w, wait), "too many wrong tokens; the right one is always accepted")
			return
		}
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="lb"`)
	if r.URL.Path == "/" && r.Method == http.MethodGet {
		writeLogin(w, http.StatusUnauthorized, "")
		return
	}
	fail(w, http.StatusUnauthorized, "the admin token is required: Authorization: Bearer TOKEN")
}

// crossOrigin reports whether a browser sent the request for a page of another origin; another port is another
// origin. Browsers that do not send Sec-Fetch-Site send Origin with a change. Programs send neither.
func crossOrigin(r *http.Request) bool {
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "same-origin", "none": // "none": typed, or a bookmark
		return false
	case "":
		origin := r.Header.Get("Origin")
		if origin == "" {
			return false
		}
		u, err := url.Parse(origin)
		return err != nil || u.Host != r.Host
	}
	return true
}

// expects reports whether a browser that sends this Host can only have meant this listener. It excludes names that
// another party's DNS points to 127.0.0.1.
func (a access) expects(listen net.Addr, host string) bool {
	if _, isUnix := listen.(*net.UnixAddr); isUnix {
		return true // browsers cannot reach it
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if inner, opens := strings.CutPrefix(host, "["); opens {
		host, opens = strings.CutSuffix(inner, "]")
		if !opens {
			return false
		}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true // RFC 6761 section 6.3: these resolve to nothing but loopback
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host != "" && host == strings.ToLower(a.host)
}

// bears reports whether the request has the token, and whether it has any.
func (a access) bears(r *http.Request) (right, offered bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if a.token == "" || token == "" || !strings.EqualFold(scheme, "Bearer") {
		return false, false
	}
	return a.isToken(token), true
}

// isToken compares in constant time, for any length.
func (a access) isToken(s string) bool {
	x, y := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(a.token))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
