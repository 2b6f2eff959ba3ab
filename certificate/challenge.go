package certificate

import (
	"crypto/tls"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// ChallengePath is where all paths of http-01 begin (RFC 8555 section 8.3).
const ChallengePath = "/.well-known/acme-challenge/"

// HTTPChallenge returns the body of the response to a request of an ACME server that validates host by http-01, nil if it is no
// such request or nothing is being validated.
func HTTPChallenge(host, path string) []byte {
	challenge, ok := certmagic.GetACMEChallenge(host)
	if !ok || challenge.Type != acme.ChallengeTypeHTTP01 || path != challenge.HTTP01ResourcePath() {
		return nil
	}
	return []byte(challenge.KeyAuthorization)
}

// TLSChallenge returns the certificate for a handshake of tls-alpn-01 (RFC 8737), nil if the name is not being validated.
func TLSChallenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	challenge, ok := certmagic.GetACMEChallenge(strings.ToLower(hello.ServerName))
	if !ok || challenge.Type != acme.ChallengeTypeTLSALPN01 {
		return nil, nil
	}
	return acmez.TLSALPN01ChallengeCert(challenge.Challenge)
}
