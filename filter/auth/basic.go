package auth

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"

	"lb/filter"
	"lb/internal/gcra"
	"lb/internal/htpasswd"
	"lb/message"
)

// maxCredentials bounds the encoded name and password, in bytes.
const maxCredentials = 1024

// Users are the users of a file, which may be replaced at any time.
type Users = atomic.Pointer[htpasswd.Users]

// Basic requires a name and a password (RFC 7617).
type Basic struct {
	users     *Users
	checks    *Checks
	challenge *filter.Refusal
}

// NewBasic returns a filter. users must have been set. The realm tells people which password is asked for.
func NewBasic(realm string, users *Users, checks *Checks) *Basic {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm)
	return &Basic{users, checks, &filter.Refusal{
		Status: http.StatusUnauthorized, Reason: "a name and a password are required", Rejected: "auth",
		Fields: []message.Field{message.NewField("WWW-Authenticate", `Basic realm="`+quoted+`", charset="UTF-8"`)},
	}}
}

var ambiguousCredentials = &filter.Refusal{
	Status: http.StatusBadRequest, Reason: "there is more than one Authorization field", Rejected: "auth", Close: true,
}

// Request implements filter.Request.
func (b *Basic) Request(x filter.Exchange) filter.Verdict {
	value, several := authorization(x.Message().Fields)
	if several {
		return filter.Refuse(ambiguousCredentials)
	}
	encoded, ok := credentials(value, "basic")
	if !ok || len(encoded) > maxCredentials {
		return filter.Refuse(b.challenge)
	}
	users := b.users.Load()
	digest := b.checks.digest(users.Digest(), encoded)
	if g := b.checks.known(&digest); g != nil {
		return filter.Verdict{Grant: g}
	}
	client := gcra.AddressKey(b.checks.failures.Seed(), x.ClientIP())
	if b.checks.barred(client) {
		return filter.Refuse(tooOften)
	}
	name, password, ok := decode(encoded)
	if !ok {
		b.checks.failures.Take(client, b.checks.rate)
		return filter.Refuse(b.challenge)
	}
	return b.ask(users, digest, client, name, password)
}

// ask returns the question whether the credentials are right.
func (b *Basic) ask(users *htpasswd.Users, digest [32]byte, client uint64, name string, password []byte) filter.Verdict {
	grant := &filter.Grant{User: name}
	return filter.Verdict{Grant: grant, Ask: func(ctx context.Context) *filter.Refusal {
		done, refusal := b.checks.turn(ctx)
		if refusal != nil {
			return refusal
		}
		defer done()
		if b.checks.known(&digest) != nil { // another request with the same credentials was first
			return nil
		}
		if b.checks.barred(client) {
			return tooOften
		}
		if !users.Verify(name, password) {
			b.checks.failures.Take(client, b.checks.rate)
			return b.challenge
		}
		b.checks.remember(digest, grant)
		return nil
	}}
}

// Explain implements filter.Explainer: the question contains no password.
func (b *Basic) Explain(filter.Exchange) filter.Verdict { return filter.Pass }

// authorization returns the value of the Authorization field, nil if there is none. Of several, each recipient might believe another.
func authorization(fields []message.Field) (value []byte, several bool) {
	found := false
	for i := range fields {
		if message.EqualFold(fields[i].Name, "authorization") {
			if found {
				return nil, true
			}
			value, found = fields[i].Value, true
		}
	}
	return value, false
}

// credentials returns what follows the scheme, which is in lower case (RFC 9110 section 11.4).
func credentials(value []byte, scheme string) ([]byte, bool) {
	n := len(scheme)
	if len(value) <= n || !message.EqualFold(value[:n], scheme) || value[n] != ' ' {
		return nil, false
	}
	return bytes.TrimLeft(value[n:], " "), true
}

// decode returns the name and the password.
func decode(encoded []byte) (name string, password []byte, ok bool) {
	text := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(text, encoded)
	if err != nil {
		return "", nil, false
	}
	before, after, ok := bytes.Cut(text[:n], []byte{':'})
	return string(before), after, ok
}
