package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"lb/filter"
	"lb/internal/jwks"
	"lb/message"
)

const (
	maxToken  = 8 << 10          // bytes
	maxClaim  = 4 << 10          // bytes of a claim that becomes a header field
	clockSkew = 30 * time.Second // between lb and the issuer
)

// Keys are where the keys come from that tokens are signed with.
type Keys interface {
	// Current returns the set in use, nil while there is none yet.
	Current() *jwks.Set
	// Newer returns a set that is newer than old, or old if there is none. It may wait a few seconds for one, and at most until ctx ends.
	Newer(ctx context.Context, old *jwks.Set) *jwks.Set
}

// JWTOptions say which tokens are accepted.
type JWTOptions struct {
	Keys     Keys
	Issuer   string // "": any
	Audience string // "": any
	// Headers are the fields that the backend gets, with the claim that each is made of.
	Headers []ClaimHeader
	// Claims are the names of those that later filters of the route need.
	Claims []string
}

// ClaimHeader makes a header field of a claim.
type ClaimHeader struct{ Header, Claim string }

// JWT requires a token (RFC 7519) in the Authorization field (RFC 6750).
type JWT struct {
	JWTOptions
	checks *Checks
	salt   [32]byte // distinguishes the cached results of different options
}

// NewJWT returns a filter.
func NewJWT(o JWTOptions, checks *Checks) *JWT {
	text, _ := json.Marshal([]any{o.Issuer, o.Audience, o.Headers, o.Claims}) // it never fails
	return &JWT{o, checks, sha256.Sum256(text)}
}

func bearer(status int, reason, challenge string) *filter.Refusal {
	return &filter.Refusal{Status: status, Reason: reason, Rejected: "auth", Fields: []message.Field{message.NewField("WWW-Authenticate", challenge)}}
}

var (
	noToken      = bearer(http.StatusUnauthorized, "a token is required", "Bearer")
	invalidToken = bearer(http.StatusUnauthorized, "the token is not valid", `Bearer error="invalid_token"`)
	expiredToken = bearer(http.StatusUnauthorized, "the token has expired", `Bearer error="invalid_token", error_description="expired"`)
	noKeys       = &filter.Refusal{Status: http.StatusServiceUnavailable, Reason: "the keys of tokens are not available yet", Rejected: "auth"}
)

// Request implements filter.Request.
func (j *JWT) Request(x filter.Exchange) filter.Verdict {
	value, several := authorization(x.Message().Fields)
	if several {
		return filter.Refuse(ambiguousCredentials)
	}
	token, ok := credentials(value, "bearer")
	if !ok {
		return filter.Refuse(noToken)
	}
	if len(token) > maxToken {
		return filter.Refuse(invalidToken)
	}
	if keys := j.Keys.Current(); keys != nil {
		digest := j.digest(keys, token)
		if g := j.checks.known(&digest); g != nil {
			return filter.Verdict{Grant: g}
		}
	}
	return j.ask(string(token))
}

// Explain implements filter.Explainer: the question contains no token.
func (j *JWT) Explain(filter.Exchange) filter.Verdict { return filter.Pass }

// digest identifies a token for these options and keys.
func (j *JWT) digest(keys *jwks.Set, token []byte) [32]byte {
	var room [96 + maxToken]byte
	set := keys.Digest()
	b := append(append(append(append(room[:0], j.checks.secret[:]...), j.salt[:]...), set[:]...), token...)
	return sha256.Sum256(b)
}

// ask returns the question whether a token is valid.
func (j *JWT) ask(token string) filter.Verdict {
	grant := &filter.Grant{}
	return filter.Verdict{Grant: grant, Ask: func(ctx context.Context) *filter.Refusal {
		keys := j.Keys.Current()
		if keys == nil {
			if keys = j.Keys.Newer(ctx, nil); keys == nil {
				return noKeys
			}
		}
		claims, all, err := verify(keys, token)
		if errors.Is(err, jwks.ErrUnknownKey) {
			if newer := j.Keys.Newer(ctx, keys); newer != keys {
				keys = newer
				claims, all, err = verify(keys, token)
			}
		}
		if err != nil {
			return invalidToken
		}
		now := j.checks.now()
		if r := j.acceptable(claims, now); r != nil {
			return r
		}
		if !j.fill(grant, claims, all) {
			return invalidToken
		}
		expires := claims.Expiry.Time().Add(clockSkew)
		if limit := now.Add(cacheLife); expires.After(limit) {
			expires = limit
		}
		j.checks.rememberUntil(j.digest(keys, []byte(token)), grant, expires)
		return nil
	}}
}

func verify(keys *jwks.Set, token string) (claims jwt.Claims, all map[string]json.RawMessage, err error) {
	err = keys.Verify(token, &claims, &all)
	return claims, all, err
}

// acceptable checks the claims of a token with a valid signature. A token that never expires is not acceptable.
func (j *JWT) acceptable(claims jwt.Claims, now time.Time) *filter.Refusal {
	expected := jwt.Expected{Issuer: j.Issuer, Time: now}
	if j.Audience != "" {
		expected.AnyAudience = jwt.Audience{j.Audience}
	}
	err := claims.ValidateWithLeeway(expected, clockSkew)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return expiredToken
	case err != nil || claims.Expiry == nil:
		return invalidToken
	}
	return nil
}

// fill makes the header fields and notes the claims for later filters. It reports false if a claim cannot be a field.
func (j *JWT) fill(g *filter.Grant, claims jwt.Claims, all map[string]json.RawMessage) bool {
	g.User, g.Claims = claims.Subject, map[string][]byte{}
	for _, name := range j.Claims {
		if raw, ok := all[name]; ok {
			g.Claims[name] = []byte(claimText(raw))
		}
	}
	for _, h := range j.Headers {
		raw, ok := all[h.Claim]
		if !ok {
			continue
		}
		text := claimText(raw)
		if len(text) > maxClaim || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return false
		}
		g.Fields = append(g.Fields, message.NewField(h.Header, text))
	}
	return true
}

// claimText returns a claim as text: a string as it is, a list of strings with commas between them, anything else as JSON.
func claimText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil && !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, ",") }) {
		return strings.Join(list, ",")
	}
	return string(raw)
}
