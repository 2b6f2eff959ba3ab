package certificate

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLook: replaced files are used at the next check. Invalid files are reported once with their cause, at the second check, and
// the last certificate stays in use.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	log, logged := logTo()
	f := open(t, dir, "a", issue(t, spec{subject: "one"}))
	s := NewSet([]*File{f}, nil)
	look := func(want string, changed bool, state State, lines ...string) {
		t.Helper()
		logged.Reset()
		if got := f.Look(log, time.Now()); got != changed {
			t.Errorf("changed: %v", got)
		}
		s.Update()
		if got, err := presented(t, s.Get, &tls.Config{}); got != want {
			t.Errorf("certificate of %q, want %q (%v)", got, want, err)
		}
		if status := f.Status(time.Now()); status.State != state || status.Subject != want || (status.Error != "") != (state == Broken) {
			t.Errorf("%+v", status)
		}
		for _, line := range lines {
			if !strings.Contains(logged.String(), line) {
				t.Errorf("%q is not in %q", line, logged)
			}
		}
		if len(lines) == 0 && logged.Len() > 0 {
			t.Errorf("logged: %s", logged)
		}
	}
	look("one", false, Valid)
	write(t, dir, "a", issue(t, spec{subject: "two"}))
	look("two", true, Valid, "certificate replaced", "subject=two", filepath.Join(dir, "a.pem"))

	three := issue(t, spec{subject: "three"})
	if err := os.WriteFile(filepath.Join(dir, "a.pem"), []byte(three.cert), 0o600); err != nil {
		t.Fatal(err)
	}
	look("two", false, Valid) // its key may be written next
	write(t, dir, "a", three)
	look("three", true, Valid, "certificate replaced")

	if err := os.WriteFile(filepath.Join(dir, "a.key"), []byte(issue(t, spec{}).key), 0o600); err != nil {
		t.Fatal(err)
	}
	look("three", false, Valid)
	look("three", false, Broken, "stays in use", "private key does not match", "a.key")
	look("three", false, Broken)
	if err := os.Remove(filepath.Join(dir, "a.key")); err != nil {
		t.Fatal(err)
	}
	look("three", false, Broken)
	look("three", false, Broken, "no such file")
	write(t, dir, "a", three)
	look("three", false, Valid, "can be used again")
	write(t, dir, "a", three)
	look("three", false, Valid)
}

// TestLookAtChain: another chain for the same certificate is also used.
func TestLookAtChain(t *testing.T) {
	dir := t.TempDir()
	log, _ := logTo()
	p, old, fresh := issue(t, spec{subject: "one"}), issue(t, spec{subject: "old"}), issue(t, spec{subject: "new"})
	f := open(t, dir, "a", pair{p.cert + old.cert, p.key})
	write(t, dir, "a", pair{p.cert + fresh.cert, p.key})
	if !f.Look(log, time.Now()) {
		t.Error("the new chain is not used")
	}
	want, _ := pem.Decode([]byte(fresh.cert))
	if chain := f.Certificate().Certificate; len(chain) != 2 || !bytes.Equal(chain[1], want.Bytes) {
		t.Error("another chain is presented")
	}
}

// TestLookThroughLinks: a directory that is replaced as a whole, as Kubernetes does with secrets, is detected.
func TestLookThroughLinks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), "tls", issue(t, spec{subject: name}))
	}
	link := filepath.Join(dir, "data")
	if err := os.Symlink("1", link); err != nil {
		t.Fatal(err)
	}
	f, err := Open(filepath.Join(link, "tls.pem"), filepath.Join(link, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("2", link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	log, _ := logTo()
	if !f.Look(log, time.Now()) || f.Status(time.Now()).Subject != "2" {
		t.Errorf("%+v", f.Status(time.Now()))
	}
}

// TestExpiry: the state depends on the time, with a warning at each step, from a third of the lifetime on.
func TestExpiry(t *testing.T) {
	dir, begin := t.TempDir(), time.Now()
	f := open(t, dir, "a", issue(t, spec{subject: "one", from: -time.Minute, to: 90 * 24 * time.Hour}))
	log, logged := logTo()
	for _, c := range []struct {
		after time.Duration
		state State
		line  string
	}{
		{0, Valid, ""},
		{59 * 24 * time.Hour, Valid, ""},
		{61 * 24 * time.Hour, Expiring, "[WARN]  a certificate expires soon"},
		{62 * 24 * time.Hour, Expiring, ""},
		{91 * 24 * time.Hour, Expired, "[WARN]  a certificate has expired"},
		{-24 * time.Hour, NotYetValid, "[WARN]  a certificate is not valid yet"},
	} {
		logged.Reset()
		now := begin.Add(c.after)
		f.Look(log, now)
		if s := f.Status(now); s.State != c.state {
			t.Errorf("after %v: %+v", c.after, s)
		}
		if line := logged.String(); !strings.HasPrefix(line, c.line) || (line == "") != (c.line == "") {
			t.Errorf("after %v: %q", c.after, line)
		}
	}
	if s := statusOf(f.Certificate().Leaf, begin, 3); s.Issuer != "one" || s.NotAfter.Before(begin) || len(s.Names) != 1 {
		t.Errorf("%+v", s)
	}
}
