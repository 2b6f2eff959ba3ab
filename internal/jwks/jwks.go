// Package jwks reads sets of public keys (RFC 7517) and verifies tokens that are signed with one of them (RFC 7519).
package jwks

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// MaxSize is the size of the largest set, in bytes.
	MaxSize = 1 << 20
	maxKeys = 256
	minRSA  = 2048 // bits (RFC 7518 section 3.3)
	// maxTries is how many keys are tried for a token that names none.
	maxTries = 8
)

// algorithms are the ones with which tokens may be signed. There is no "none", and none with a shared secret, for which an attacker could
// use a public key.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Set is a set of keys. It does not change.
type Set struct {
	keys   []jose.JSONWebKey
	digest [32]byte
}

// Parse reads a set. Keys that cannot verify signatures are left out; it is an error if none is left.
func Parse(text []byte) (*Set, error) {
	var list struct{ Keys []json.RawMessage }
	if len(text) > MaxSize {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxSize)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("it is not a set of keys in JSON: %w", err)
	}
	if len(list.Keys) > maxKeys {
		return nil, fmt.Errorf("it has more than %d keys", maxKeys)
	}
	s := &Set{digest: sha256.Sum256(text)}
	for _, raw := range list.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && usable(&key) {
			s.keys = append(s.keys, key.Public())
		}
	}
	if len(s.keys) == 0 {
		return nil, errors.New("it has no key that verifies signatures (RSA of at least 2048 bits, EC or Ed25519)")
	}
	return s, nil
}

func usable(k *jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" || !k.Valid() {
		return false
	}
	switch public := k.Public().Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// Digest identifies the content of the set.
func (s *Set) Digest() [32]byte { return s.digest }

// Len returns the number of keys that verify signatures.
func (s *Set) Len() int { return len(s.keys) }

// ErrUnknownKey means that the set does not have the key that the token names. The set may be outdated.
var ErrUnknownKey = errors.New("the token names an unknown key")

// Verify returns the claims of a token with a valid signature. Whether they are acceptable is another question. Each dest is decoded
// from the claims as by package json.
func (s *Set) Verify(token string, dest ...any) error {
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return err
	}
	head := t.Headers[0]
	tries, named := 0, false
	for i := range s.keys {
		k := &s.keys[i]
		if head.KeyID != "" && k.KeyID != head.KeyID {
			continue
		}
		named = true
		if k.Algorithm != "" && k.Algorithm != head.Algorithm || tries == maxTries {
			continue
		}
		tries++
		if err = t.Claims(k.Key, dest...); err == nil {
			return nil
		}
	}
	switch {
	case !named:
		return ErrUnknownKey
	case err == nil:
		return errors.New("no key is for the algorithm of the token")
	}
	return err
}
