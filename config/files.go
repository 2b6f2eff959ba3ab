package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"lb/internal/ech"
)

// Checks of files that attributes name. An empty name needs no check.

// checkReadable requires a regular file that can be opened.
func (b *block) checkReadable(name, path string) bool {
	if b.withoutFiles || path == "" || !b.written(name) {
		return false
	}
	if err := openRegular(path); err != nil {
		b.fail(b.place(name), fmt.Sprintf("cannot read %s %q: %v", name, path, bare(err)), fileRemedy(err))
		return false
	}
	return true
}

func fileRemedy(err error) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return "Allow the user that lb runs as to read it."
	case errors.Is(err, os.ErrNotExist):
		return "Create it, or write the path of an existing one; a relative path starts at the configuration's directory."
	}
	return "Write the path of a file."
}

func openRegular(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// checkFolder requires a directory.
func (b *block) checkFolder(name, path string) {
	if b.withoutFiles || path == "" || !b.written(name) {
		return
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		b.fail(b.place(name), fmt.Sprintf("cannot use the directory of %s, %q: %v", name, path, bare(err)),
			"Create the directory, or write the path of an existing one; a relative path starts at the configuration's directory.")
	}
}

// checkNoFolder requires a path that is not a directory.
func (b *block) checkNoFolder(name, path string) {
	if b.withoutFiles || path == "" || !b.written(name) {
		return
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		b.fail(b.place(name), fmt.Sprintf("cannot write %s %q: it is a directory", name, path), "Write the path of a file in it, or \"-\" for the terminal.")
	}
}

// checkSocketPlace checks that listening on a "unix:" address can work: its directory must exist, and its place may
// only have a socket. A socket in use is no error, since the balancer that is to be reloaded may use it.
func (b *block) checkSocketPlace(at hcl.Range, address string) {
	path, ok := strings.CutPrefix(address, "unix:")
	if b.withoutFiles || !ok {
		return
	}
	directory, err := os.Stat(filepath.Dir(path))
	if err == nil && !directory.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		b.fail(at, fmt.Sprintf("cannot use the directory of the socket, %q: %v", filepath.Dir(path), bare(err)),
			"Create the directory, or write a path in an existing one.")
		return
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSocket == 0 {
		b.fail(at, fmt.Sprintf("cannot listen on %q: the file exists and is not a socket", address), "Remove the file, or choose another path.")
	}
}

// checkAwaited warns about a file that does not exist yet.
func (b *block) checkAwaited(name, path string) {
	if b.withoutFiles || path == "" || !b.written(name) {
		return
	}
	if err := openRegular(path); err != nil {
		b.warn(b.place(name), fmt.Sprintf("cannot read %s %q: %v", name, path, bare(err)), "It adds no backend until it can be read.")
	}
}

// checkRoots requires a PEM file with at least one certificate.
func (b *block) checkRoots(name, path string) {
	if !b.checkReadable(name, path) {
		return
	}
	pem, err := readRegular(path)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		err = errors.New("it has no certificate")
	}
	if err != nil {
		b.fail(b.place(name), fmt.Sprintf("cannot use %s %q: %v", name, path, bare(err)), "Write the path of a PEM file with the authority's certificate.")
	}
}

// checkSessionKeys requires a file of keys for session tickets.
func (b *block) checkSessionKeys(path string) {
	if !b.checkReadable("session_keys", path) {
		return
	}
	text, err := readRegular(path)
	if err == nil {
		_, err = ParseSessionKeys(string(text))
	}
	if err != nil {
		b.fail(b.place("session_keys"), fmt.Sprintf("cannot use session_keys %q: %v", path, bare(err)),
			"Write a key a line, each made by: openssl rand -hex 32")
	}
}

// checkECHKeys requires a file of keys of encrypted ClientHellos.
func (b *block) checkECHKeys(path string) {
	if !b.checkReadable("ech_keys", path) {
		return
	}
	text, err := readRegular(path)
	if err == nil {
		_, err = ech.Parse(text)
	}
	if err != nil {
		b.fail(b.place("ech_keys"), fmt.Sprintf("cannot use ech_keys %q: %v", path, bare(err)),
			"Write the path of a PEM file with a PRIVATE KEY and its ECHCONFIG, as openssl ech makes it.")
	}
}

// ParseSessionKeys reads keys of session tickets: a line of 64 hexadecimal digits each; lines that are empty or begin with # are
// skipped. Errors do not show the keys.
func ParseSessionKeys(text string) ([][32]byte, error) {
	var keys [][32]byte
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := hex.DecodeString(line)
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("line %d is no key of 64 hexadecimal digits", number)
		}
		keys = append(keys, [32]byte(key))
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key")
	}
	return keys, nil
}

// checkPair requires a certificate and its key. It returns the certificate, or nil.
func (b *block) checkPair(cert, key string) *x509.Certificate {
	certGood, keyGood := b.checkReadable("cert", cert), b.checkReadable("key", key)
	if !certGood || !keyGood {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		b.fail(b.place("key"), fmt.Sprintf("cert %q and key %q do not match: %v", b.shown("cert", cert), b.shown("key", key), bare(err)),
			"Write the path of the PEM file with the certificate, followed by its chain, and that of its own key.")
		return nil
	}
	b.checkTimes(cert, pair, time.Now())
	return pair.Leaf
}

// shown returns the value of an attribute for a message about another place.
func (b *block) shown(name, value string) string {
	if b.written(name) && b.withheld(b.place(name)) {
		return "…"
	}
	return value
}

// broken reports whether an attribute is written. If its value is empty nevertheless, that was reported or is on
// purpose.
func (b *block) broken(name string) bool { return b.written(name) && !b.attributeIsEmptyText(name) }
