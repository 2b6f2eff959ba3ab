package certificate

import (
	"crypto/tls"
	"fmt"
	"testing"
	"time"
)

// TestCertificateByName: the server name of the client selects the certificate. Without one, the address does.
func TestCertificateByName(t *testing.T) {
	dir := t.TempDir()
	s := NewSet([]*File{
		open(t, dir, "1", issue(t, spec{subject: "first", names: []string{"first.example"}})),
		open(t, dir, "2", issue(t, spec{subject: "a", names: []string{"a.example", "*.wild.example"}})),
		open(t, dir, "3", issue(t, spec{subject: "b", names: []string{"b.wild.example"}})),
		open(t, dir, "4", issue(t, spec{subject: "loopback", names: []string{"127.0.0.1"}})),
	}, nil)
	for name, want := range map[string]string{
		"a.example": "a", "A.Example": "a", "c.wild.example": "a", "b.wild.example": "b", "x.c.wild.example": "first",
		"wild.example": "first", "other.example": "first", "": "loopback",
	} {
		if got, err := presented(t, s.Get, &tls.Config{ServerName: name}); got != want {
			t.Errorf("%q: certificate of %s, want %s (%v)", name, got, want, err)
		}
		if name == "" { // Get takes the address that the client has connected to
			name = "127.0.0.1"
		}
		if list, named := s.Candidates(name, time.Now()); len(list) == 0 || list[0].Subject != want || named != (want != "first") && name != "first.example" {
			t.Errorf("%q: candidates %+v, %v, want %s", name, list, named, want)
		}
	}
	for pattern, names := range map[string][3]string{ // names that it covers, and one that it does not
		"a.example": {"a.example", "A.example.", "b.a.example"}, "*.a.example": {"b.a.example", "B.A.EXAMPLE", "a.example"},
		"192.0.2.1": {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
	} {
		if !Covers(pattern, names[0]) || !Covers(pattern, names[1]) || Covers(pattern, names[2]) || Covers(pattern, "c."+names[1]) {
			t.Errorf("%s covers others of %q", pattern, names)
		}
	}
}

// TestCertificateByKey: of the certificates for a name, or of all if none has the name, a client gets the first whose kind of key
// it supports.
func TestCertificateByKey(t *testing.T) {
	dir := t.TempDir()
	rsaCert := open(t, dir, "1", issue(t, spec{rsa: true, subject: "rsa", names: []string{"a.example", "both.wild.example"}}))
	ecdsaCert := open(t, dir, "2", issue(t, spec{subject: "ecdsa", names: []string{"a.example", "*.wild.example"}}))
	onlyRSA := open(t, dir, "3", issue(t, spec{rsa: true, subject: "only.rsa"}))
	onlyECDSA := open(t, dir, "4", issue(t, spec{subject: "only-ecdsa", names: []string{"only.ecdsa"}}))
	suites := map[string][]uint16{
		"rsa":   {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		"ecdsa": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}
	for _, c := range []struct {
		name       string
		files      []*File
		serverName string
		client     string // the kind of key that it can use; "": any
		want       string // the common name
	}{
		{"no name, ECDSA first", []*File{ecdsaCert, rsaCert}, "", "rsa", "rsa"},
		{"no name, RSA first", []*File{rsaCert, ecdsaCert}, "", "ecdsa", "ecdsa"},
		{"no name, any client", []*File{rsaCert, ecdsaCert}, "", "", "rsa"},
		{"unknown name, ECDSA first", []*File{ecdsaCert, rsaCert}, "other.example", "rsa", "rsa"},
		{"unknown name, RSA first", []*File{rsaCert, ecdsaCert}, "other.example", "ecdsa", "ecdsa"},
		{"known name, ECDSA first", []*File{onlyRSA, ecdsaCert, rsaCert}, "a.example", "rsa", "rsa"},
		{"known name, RSA first", []*File{onlyECDSA, rsaCert, ecdsaCert}, "a.example", "ecdsa", "ecdsa"},
		{"exact name of the wrong kind", []*File{rsaCert, ecdsaCert}, "both.wild.example", "ecdsa", "ecdsa"},
		{"exact name before wildcard", []*File{ecdsaCert, rsaCert}, "both.wild.example", "", "rsa"},
		{"common name alone", []*File{ecdsaCert, onlyRSA}, "only.rsa", "rsa", "only.rsa"},
		{"name of the wrong kind alone", []*File{onlyECDSA, rsaCert}, "only.ecdsa", "rsa", "rsa"},
		{"nothing usable", []*File{onlyECDSA, ecdsaCert}, "", "rsa", ""},
	} {
		config := &tls.Config{ServerName: c.serverName}
		if c.client != "" {
			config.MaxVersion, config.CipherSuites = tls.VersionTLS12, suites[c.client]
		}
		if got, err := presented(t, NewSet(c.files, nil).Get, config); got != c.want {
			t.Errorf("%s: certificate of %s, want %s (%v)", c.name, got, c.want, err)
		}
	}
	if _, err := NewSet(nil, nil).Get(&tls.ClientHelloInfo{}); fmt.Sprint(err) != "the listener has no certificate" {
		t.Error(err)
	}
}
