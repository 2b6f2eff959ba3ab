// Package ciphers says which TLS cipher suites lb uses, with clients and with backends.
package ciphers

import (
	"crypto/tls"
	"slices"
	"strings"
)

// Suites returns the suites for TLS 1.2: those with forward secrecy and authenticated encryption (RFC 9325 section
// 4.2). Go's defaults have CBC too, whose padding has been attacked repeatedly. TLS 1.3 has no such suites, and ignores the list.
func Suites() []uint16 {
	var ids []uint16
	for _, s := range tls.CipherSuites() {
		if slices.Contains(s.SupportedVersions, tls.VersionTLS12) && strings.HasPrefix(s.Name, "TLS_ECDHE_") && !strings.Contains(s.Name, "_CBC_") {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
