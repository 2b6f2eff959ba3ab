package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"lb/internal/jwks"
)

// issuer has keys, and signs tokens with them.
type issuer struct {
	t    testing.TB
	keys map[string]jose.JSONWebKey // by ID
}

func newIssuer(t testing.TB, ids ...string) *issuer {
	i := &issuer{t, map[string]jose.JSONWebKey{}}
	for _, id := range ids {
		var key any
		var err error
		alg, _, _ := strings.Cut(id, "-")
		switch alg {
		case "RS256", "PS256":
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		case "ES256":
			key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		case "EdDSA":
			_, key, err = ed25519.GenerateKey(rand.Reader)
		}
		if err != nil {
			t.Fatal(err)
		}
		i.keys[id] = jose.JSONWebKey{Key: key, KeyID: id, Algorithm: alg, Use: "sig"}
	}
	return i
}

// set returns the public keys.
func (i *issuer) set() *jwks.Set {
	var list jose.JSONWebKeySet
	for _, k := range i.keys {
		list.Keys = append(list.Keys, k.Public())
	}
	text, err := json.Marshal(list)
	if err != nil {
		i.t.Fatal(err)
	}
	s, err := jwks.Parse(text)
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

type claims map[string]any

// good are the claims of a token that is accepted, with changes; nil removes one.
func good(changes claims) claims {
	c := claims{"sub": "ann", "iss": "https://login.example", "aud": []string{"clock", "other"}, "exp": time.Now().Add(time.Hour).Unix(),
		"groups": []string{"a", "b"}, "n": 5, "email": "ann@example.com"}
	for name, value := range changes {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func (i *issuer) sign(id string, c claims) string {
	k := i.keys[id]
	return sign(i.t, jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.Algorithm), Key: k}, c)
}

func sign(t testing.TB, key jose.SigningKey, c claims) string {
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(c)
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// fixedKeys are keys that a test changes.
type fixedKeys struct{ current, next *jwks.Set }

func (k *fixedKeys) Current() *jwks.Set { return k.current }
func (k *fixedKeys) Newer(context.Context, *jwks.Set) *jwks.Set {
	if k.next != nil {
		k.current = k.next
	}
	return k.current
}

func TestJWT(t *testing.T) {
	i := newIssuer(t, "RS256-1", "ES256-1", "EdDSA-1", "PS256-1")
	other := newIssuer(t, "RS256-1", "RS256-9")
	options := JWTOptions{Keys: &fixedKeys{current: i.set()}, Issuer: "https://login.example", Audience: "clock",
		Headers: []ClaimHeader{{"X-User", "sub"}, {"X-Groups", "groups"}, {"X-N", "n"}, {"X-Missing", "missing"}},
		Claims:  []string{"email", "n", "missing"}}
	f := NewJWT(options, NewChecks())
	key := i.keys["RS256-1"]
	der, _ := x509.MarshalPKIXPublicKey(key.Public().Key)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	unsigned := func(head string) string {
		payload, _ := json.Marshal(good(nil))
		return base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	valid := i.sign("RS256-1", good(nil))
	parts := strings.Split(valid, ".")
	forged, _ := json.Marshal(good(claims{"sub": "root"}))
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"RSA":                      {valid, 0},
		"EC":                       {i.sign("ES256-1", good(nil)), 0},
		"Ed25519":                  {i.sign("EdDSA-1", good(nil)), 0},
		"PSS":                      {i.sign("PS256-1", good(nil)), 0},
		"one audience":             {i.sign("ES256-1", good(claims{"aud": "clock"})), 0},
		"a little late":            {i.sign("ES256-1", good(claims{"exp": time.Now().Add(-10 * time.Second).Unix()})), 0},
		"expired":                  {i.sign("ES256-1", good(claims{"exp": time.Now().Add(-time.Minute).Unix()})), 401},
		"never expires":            {i.sign("ES256-1", good(claims{"exp": nil})), 401},
		"not yet valid":            {i.sign("ES256-1", good(claims{"nbf": time.Now().Add(time.Minute).Unix()})), 401},
		"another issuer":           {i.sign("ES256-1", good(claims{"iss": "https://evil.example"})), 401},
		"no issuer":                {i.sign("ES256-1", good(claims{"iss": nil})), 401},
		"another audience":         {i.sign("ES256-1", good(claims{"aud": "shop"})), 401},
		"no audience":              {i.sign("ES256-1", good(claims{"aud": nil})), 401},
		"a line break":             {i.sign("ES256-1", good(claims{"sub": "a\r\nX-Admin: 1"})), 401},
		"a huge claim":             {i.sign("ES256-1", good(claims{"sub": strings.Repeat("x", 5000)})), 401},
		"another key, same ID":     {other.sign("RS256-1", good(nil)), 401},
		"an unknown key":           {other.sign("RS256-9", good(nil)), 401},
		"alg none":                 {unsigned(`{"alg":"none"}`), 401},
		"alg None with a key":      {unsigned(`{"alg":"None","kid":"RS256-1"}`), 401},
		"HMAC with the public key": {sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: text, KeyID: "RS256-1"}}, good(nil)), 401},
		"PSS with the key for RS":  {sign(t, jose.SigningKey{Algorithm: jose.PS256, Key: i.keys["RS256-1"]}, good(nil)), 401},
		"other claims":             {parts[0] + "." + base64.RawURLEncoding.EncodeToString(forged) + "." + parts[2], 401},
		"no signature":             {parts[0] + "." + parts[1] + ".", 401},
		"two parts":                {parts[0] + "." + parts[1], 401},
		"not base64":               {"!.!.!", 401},
		"too long":                 {valid + strings.Repeat("a", maxToken), 401},
	} {
		status, _, _ := outcome(f, with("Authorization: Bearer "+c.token))
		if status != c.status {
			t.Errorf("%s: %d, want %d", name, status, c.status)
		}
	}
	v := f.Request(with("Authorization: bearer " + valid))
	if v.Ask != nil || v.Grant == nil || v.Grant.User != "ann" {
		t.Fatalf("%+v", v)
	}
	if got := fmt.Sprintf("%s%s%s", v.Grant.Fields[0].Line, v.Grant.Fields[1].Line, v.Grant.Fields[2].Line); got != "X-User: ann\r\nX-Groups: a,b\r\nX-N: 5\r\n" || len(v.Grant.Fields) != 3 {
		t.Errorf("%q", got)
	}
	if got := fmt.Sprintf("%s", v.Grant.Claims); got != "map[email:ann@example.com n:5]" {
		t.Error(got)
	}
	if n := testing.AllocsPerRun(100, func() { f.Request(withToken(valid)) }); n > 20 { // those of withToken
		t.Errorf("%g allocations", n)
	}
	for _, lines := range [][]string{nil, {basic("ann:secret")}, {"Authorization: Bearer"}} {
		if r := f.Request(with(lines...)).Refusal; r != noToken {
			t.Errorf("%q: %+v", lines, r)
		}
	}
	if r := f.Request(with("Authorization: Bearer a", "Authorization: Bearer b")).Refusal; r != ambiguousCredentials {
		t.Errorf("%+v", r)
	}
	options.Audience = "shop"
	if status, _, _ := outcome(NewJWT(options, f.checks), with("Authorization: Bearer "+valid)); status != 401 {
		t.Error("a token that another route accepts is accepted from the cache")
	}
}

func withToken(token string) *exchange { return with("Authorization: Bearer " + token) }

// TestRotatedKeys: a new key is asked for, and a token of a key that was removed is not accepted from the cache.
func TestRotatedKeys(t *testing.T) {
	old, next := newIssuer(t, "ES256-1"), newIssuer(t, "ES256-2")
	keys := &fixedKeys{}
	f := NewJWT(JWTOptions{Keys: keys}, NewChecks())
	if status, _, _ := outcome(f, withToken(old.sign("ES256-1", good(nil)))); status != 503 {
		t.Errorf("without keys: %d", status)
	}
	keys.current = old.set()
	token := old.sign("ES256-1", good(nil))
	for range 2 {
		if status, _, _ := outcome(f, withToken(token)); status != 0 {
			t.Errorf("%d", status)
		}
	}
	if status, _, _ := outcome(f, withToken(next.sign("ES256-2", good(nil)))); status != 401 {
		t.Errorf("an unknown key: %d", status)
	}
	keys.next = next.set()
	if status, _, _ := outcome(f, withToken(next.sign("ES256-2", good(nil)))); status != 0 {
		t.Errorf("the new key: %d", status)
	}
	if status, _, _ := outcome(f, withToken(token)); status != 401 {
		t.Errorf("the removed key: %d", status)
	}
}

func FuzzJWT(f *testing.F) {
	i := newIssuer(f, "ES256-1")
	j := NewJWT(JWTOptions{Keys: &fixedKeys{current: i.set()}}, NewChecks())
	f.Add(i.sign("ES256-1", good(claims{"exp": 1})))
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		if strings.ContainsAny(token, "\r\n") {
			return
		}
		if status, _, _ := outcome(j, withToken(token)); status != 401 {
			t.Fatalf("%d", status)
		}
	})
}
