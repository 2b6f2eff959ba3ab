package htpasswd

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

func bcryptOf(password string) string {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		panic(err)
	}
	return string(h)
}

func argonOf(password string) string {
	salt := []byte("saltsalt")
	key := argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

func TestVerify(t *testing.T) {
	text := "# users\n\nann:" + bcryptOf("secret") + "\r\nbob smith:" + argonOf("pässword") + "\ncy:" + strings.Replace(bcryptOf(""), "$2a$", "$2y$", 1) + "\n"
	users, err := Parse([]byte(text))
	if err != nil || users.Len() != 3 {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		want           bool
	}{
		{"ann", "secret", true},
		{"ann", "Secret", false},
		{"ann", "", false},
		{"Ann", "secret", false},
		{"bob smith", "pässword", true},
		{"bob smith", "secret", false},
		{"cy", "", true},
		{"cy", "x", false},
		{"dan", "secret", false}, // the password of the decoy
		{"", "secret", false},
	} {
		if got := users.Verify(c.name, []byte(c.password)); got != c.want {
			t.Errorf("%q, %q: %t", c.name, c.password, got)
		}
	}
	// These are from the documentation of Apache's httpd and of the reference implementation of Argon2.
	known, err := Parse([]byte("myName:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n" +
		"argon:$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG\n"))
	if err != nil || !known.Verify("myName", []byte("myPassword")) || !known.Verify("argon", []byte("password")) {
		t.Errorf("hashes of other programs: %v", err)
	}
	other, _ := Parse([]byte(text + "\n"))
	if users.Digest() == other.Digest() {
		t.Error("two files have the same digest")
	}
}

// TestDecoys: in a file with hashes of different costs, names that do not exist are checked against each of them, and a name always against
// the same one.
func TestDecoys(t *testing.T) {
	text := ""
	for i := range 10 {
		h := bcryptOf("x")
		if i < 3 {
			h = argonOf("x")
		}
		text += fmt.Sprintf("user%d:%s\n", i, h)
	}
	users, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse([]byte("first:" + bcryptOf("y") + "\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	argon, moved := 0, 0
	for i := range 1000 {
		name := fmt.Sprint("nobody", i)
		_, is := users.decoy(name).(*argonHash)
		if is {
			argon++
		}
		if _, is2 := again.decoy(name).(*argonHash); is2 != is {
			moved++
		}
		if users.decoy(name) == nil {
			t.Fatal("no decoy")
		}
	}
	// The salts of bcrypt are random: these bounds are more than five standard deviations away.
	if argon < 50 {
		t.Errorf("%d of 1000 names are checked like three of ten users", argon)
	}
	if moved > 250 {
		t.Errorf("a new user changes the cost of %d of 1000 names", moved)
	}
}

func TestBadFiles(t *testing.T) {
	good := "ann:" + bcryptOf("x") + "\n"
	for text, want := range map[string]string{
		"":                   "it has no user",
		"# none\n":           "it has no user",
		"ann\n":              "line 1 is not a name",
		good + ":x\n":        "line 2 is not a name",
		"ann:secret\n":       `line 1: the hash of user "ann" is of an unknown format`,
		"ann:$apr1$a$b\n":    "is MD5 of Apache ($apr1$)",
		"ann:{SHA}abc=\n":    "is SHA-1 ({SHA})",
		"ann:$6$a$b\n":       "is SHA-512 crypt ($6$)",
		"ann:$2x$10$b\n":     "is an old form of bcrypt",
		"ann:$2y$10$short\n": "is not a valid bcrypt hash",
		"ann:$2y$99$" + strings.Repeat("a", 53) + "\n":        "is not a valid bcrypt hash",
		"ann:$2y$20$" + strings.Repeat("a", 53) + "\n":        "has cost 20, above 16",
		"ann:$2y$10$" + strings.Repeat("a", 52) + "!\n":       "is not a valid bcrypt hash",
		"ann:$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$AAAA\n":  "is not Argon2 version 19",
		"ann:$argon2id$v=19$m=64,t=1$c2FsdHNhbHQ$AAAA\n":      "has other Argon2 parameters",
		"ann:$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$AAAA\n":  "has no valid Argon2 parameter t",
		"ann:$argon2id$v=19$m=9999999,t=1,p=1$c2FsdHNhbHQ$AA": "has Argon2 parameters above",
		"ann:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$A!\n":    "has no valid Argon2 salt and key",
		"ann:$argon2d$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AA\n":     "Argon2d",
		good + good:              `line 2: user "ann" appears twice`,
		"a\x01b:x\n":             "control character",
		strings.Repeat("a", 2e3): "line 1 is longer",
	} {
		u, err := Parse([]byte(text))
		if u != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ann:" + bcryptOf("x") + "\nbob:" + argonOf("y"))
	f.Add("ann:$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := Parse([]byte(text))
		if (u == nil) != (err != nil) {
			t.Fatal("both or neither")
		}
	})
}
