package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const (
	sessionCookie   = "lb_admin"
	sessionLifetime = 12 * time.Hour
)

// access decides who may ask for what.
type access struct {
	token   string
	host    string // of the address as configured
	origins *http.CrossOriginProtection
}

func newAccess(o Options) access {
	a := access{token: o.Token, origins: http.NewCrossOriginProtection()}
	if host, _, err := net.SplitHostPort(o.Listen); err == nil {
		a.host = host
	}
	return a
}

// guard lets through what may be asked. In this order: a request that a web page elsewhere could have
// caused by a name that it has pointed here; one without the token; a change asked for by such a page.
func (a access) guard(listen net.Addr, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		probe := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if a.token == "" && !probe && !a.expects(listen, r.Host) {
			fail(w, http.StatusMisdirectedRequest,
				"the Host header names another host: use a loopback address, or set admin.token")
			return
		}
		bearer := a.bears(r)
		open := probe || r.URL.Path == "/metrics" || r.URL.Path == "/login"
		if a.token != "" && !open && !bearer && !a.inSession(r) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="lb"`)
			if r.URL.Path == "/" && r.Method == http.MethodGet {
				writeLogin(w, http.StatusUnauthorized, "")
				return
			}
			fail(w, http.StatusUnauthorized, "the admin token is needed: Authorization: Bearer TOKEN")
			return
		}
		// Who holds the token is no page that borrows a cookie.
		if err := a.origins.Check(r); err != nil && !bearer {
			fail(w, http.StatusForbidden, "changes must come from the same origin or carry the token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// expects tells whether a browser that sends this Host can only have meant us. A name that
// somebody else's DNS points to 127.0.0.1 is what this keeps out.
func (a access) expects(listen net.Addr, host string) bool {
	if _, isUnix := listen.(*net.UnixAddr); isUnix {
		return true // no browser gets there
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

func (a access) bears(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return a.token != "" && strings.EqualFold(scheme, "Bearer") && a.isToken(strings.TrimSpace(token))
}

// isToken compares in a time that tells nothing, the length not either.
func (a access) isToken(s string) bool {
	x, y := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(a.token))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// The cookie is the time when it ends and a MAC of that under the token: it outlives a restart,
// ends when the token changes, and does not tell the token.
func (a access) newSession(now time.Time) string {
	end := binary.BigEndian.AppendUint64(nil, uint64(now.Add(sessionLifetime).Unix()))
	return base64.RawURLEncoding.EncodeToString(append(end, a.sign(end)...))
}

func (a access) sign(end []byte) []byte {
	mac := hmac.New(sha256.New, []byte(a.token))
	mac.Write([]byte("lb admin session\x00"))
	mac.Write(end)
	return mac.Sum(nil)
}

func (a access) inSession(r *http.Request) bool {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return false
	}
	value, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || len(value) != 8+sha256.Size || !hmac.Equal(value[8:], a.sign(value[:8])) {
		return false
	}
	return time.Now().Unix() < int64(binary.BigEndian.Uint64(value))
}
