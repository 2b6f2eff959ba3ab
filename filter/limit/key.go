// Package limit contains the filters that limit how often, and how many at a time, the requests of one client reach a route.
package limit

import (
	"hash/maphash"
	"strings"

	"lb/filter"
	"lb/internal/gcra"
	"lb/message"
)

// Key is the part of a request that distinguishes clients. The zero value is the client's address.
type Key struct {
	byPath   bool
	claim    string // "": none
	selector message.Selector
}

// kindValue is the kind of the keys that are not made of addresses, for gcra.Key.
const kindValue byte = 0

// claimPrefix begins a key that is a claim of a token.
const claimPrefix = "jwt:"

// NewKey reads a key as the configuration spells it: client_ip, path, header:NAME, cookie:NAME or jwt:CLAIM. Anything else, which the
// configuration refuses, means the client's address.
func NewKey(text string) Key {
	selector, _ := message.NewSelector(text)
	return Key{byPath: text == "path", claim: ClaimOf(text), selector: selector}
}

// ClaimOf returns the claim by which a key distinguishes clients, "" if it does so by something else. A filter with such a key has to
// follow the one that accepts tokens.
func ClaimOf(key string) string {
	claim, _ := strings.CutPrefix(key, claimPrefix)
	if len(claim) == len(key) {
		return ""
	}
	return claim
}

// identity returns what distinguishes the client of a request, with its kind, and perhaps in the room of b. A request without that header, cookie
// or claim, or with an empty one, is identified by the client's address. ok is false if that is needed and not known, or if no token was
// accepted yet; then all such requests have the same identity.
func (k Key) identity(x filter.Exchange, b []byte) (kind byte, identity []byte, ok bool) {
	value := k.selector.Value(x.Message().Fields)
	switch {
	case k.byPath:
		value = x.Path()
	case k.claim != "":
		value = x.Claims()[k.claim]
	}
	if len(value) > 0 {
		return kindValue, value, true
	}
	kind, identity = gcra.Identity(x.ClientIP(), b)
	return kind, identity, x.ClientIP().IsValid() && !k.early(x)
}

// early reports whether the claim of a request cannot be known yet.
func (k Key) early(x filter.Exchange) bool { return k.claim != "" && x.Claims() == nil }

// of returns the key of a request, with ok as that of identity.
func (k Key) of(x filter.Exchange, seed maphash.Seed) (key uint64, ok bool) {
	var room [8]byte
	kind, identity, ok := k.identity(x, room[:0])
	return gcra.Key(seed, kind, identity), ok
}
