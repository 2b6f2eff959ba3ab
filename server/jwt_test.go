package server_test

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"lb/internal/lbtest"
)

// tokenKey returns a key, its set as JSON, and a function that signs tokens.
func tokenKey(t testing.TB, id string) (set string, sign func(user string) string) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: id, Algorithm: "EdDSA", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), func(user string) string {
		payload, _ := json.Marshal(map[string]any{"sub": user, "iss": "https://login.example", "exp": time.Now().Add(time.Hour).Unix()})
		signed, err := signer.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		token, _ := signed.CompactSerialize()
		return "Authorization: Bearer " + token
	}
}

func jwtSite(jwks, backend string) string {
	return `
site "s" {
  route "/" {
    jwt {
      jwks              = "` + jwks + `"
      issuer            = "https://login.example"
      claims_to_headers = {
        "X-User" = "sub"
      }
    }
    proxy {
      pool = "app"
    }
  }
}
pool "app" {
  backend "` + backend + `" {}
}
`
}

// TestJWT: a token with a good signature passes, its claims reach the backend, and the last good keys stay when their URL vanishes.
func TestJWT(t *testing.T) {
	back := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	set, sign := tokenKey(t, "1")
	_, forge := tokenKey(t, "1")
	var jwks atomic.Pointer[string] // nil: 500
	var asked atomic.Int64
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if text := jwks.Load(); text != nil {
			_, _ = w.Write([]byte(*text))
			return
		}
		w.WriteHeader(500)
	}))
	t.Cleanup(keys.Close)
	jwks.Store(&set)
	r := start(t, jwtSite(keys.URL, back.Addr))
	if got := r.get("/"); got.Status() != 401 || got.Field("WWW-Authenticate") != "Bearer" {
		t.Errorf("%q", got.Head)
	}
	for range 2 {
		if got := r.get("/", sign("ann"), "x_user: root", "X-User: root"); got.Status() != 200 {
			t.Errorf("%q", got.Head)
		}
	}
	if head, _ := back.last(); !strings.Contains(head, "\r\nX-User: ann\r\n") || strings.Contains(head, "root") {
		t.Errorf("%q", head)
	}
	if got := r.get("/", forge("ann")); got.Status() != 401 || got.Field("WWW-Authenticate") != `Bearer error="invalid_token"` {
		t.Errorf("%q", got.Head)
	}
	lbtest.Eventually(t, "the user in the log", func() bool { return strings.Contains(r.read("access.log"), `"user":"ann"`) })
	before := asked.Load()
	jwks.Store(nil)
	if err := r.reload(jwtSite(keys.URL, back.Addr) + "# changed\n"); err != nil {
		t.Fatal(err)
	}
	if got := r.get("/", sign("bob")); got.Status() != 200 {
		t.Errorf("after the keys have vanished: %q", got.Head)
	}
	_, other := tokenKey(t, "2")
	if got := r.get("/", other("bob")); got.Status() != 401 {
		t.Errorf("%q", got.Head)
	}
	if n := asked.Load(); n > before+1 {
		t.Errorf("the keys were fetched %d times", n)
	}
	if err := r.reload(strings.Replace(jwtSite(keys.URL, back.Addr), "/\"\n      issuer", "/other\"\n      issuer", 1)); err != nil {
		t.Fatal(err)
	}
}

// TestJWTFile: keys of a file that is replaced; and without keys at the start nothing passes.
func TestJWTFile(t *testing.T) {
	back := record(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	first, sign := tokenKey(t, "1")
	second, signNext := tokenKey(t, "2")
	dir := writeFiles(t, map[string]string{"keys.json": first})
	r := start(t, jwtSite(dir+"/keys.json", back.Addr))
	if got := r.get("/", sign("ann")); got.Status() != 200 {
		t.Errorf("%q", got.Head)
	}
	replaceFile(t, dir+"/keys.json", `{"keys":[]}`)
	lbtest.Eventually(t, "an error in the log", func() bool { return strings.Contains(r.read("lb.log"), "it has no key") })
	if got := r.get("/", sign("bob")); got.Status() != 200 {
		t.Errorf("%q", got.Head)
	}
	replaceFile(t, dir+"/keys.json", second)
	lbtest.Eventually(t, "the new key", func() bool { return r.get("/", signNext("ann")).Status() == 200 })
	if got := r.get("/", sign("ann")); got.Status() != 401 {
		t.Errorf("%q", got.Head)
	}
	if err := r.reload(jwtSite("http://127.0.0.1:1/keys", back.Addr)); err != nil {
		t.Fatal(err)
	}
	if got := r.get("/", sign("ann")); got.Status() != 503 {
		t.Errorf("without keys: %q", got.Head)
	}
}
