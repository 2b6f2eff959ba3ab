// Package htpasswd reads files of users with hashed passwords, and checks passwords. A line is "name:hash"; lines that are empty or begin
// with # are skipped. The hashes are those of bcrypt ($2a$, $2b$, $2y$) and of Argon2 in the PHC format ($argon2id$, $argon2i$).
package htpasswd

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// The bounds of what a check of one password may cost.
const (
	maxBcryptCost   = 16
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 64
	maxArgonThreads = 64
	maxLine         = 1 << 10 // bytes
)

// Users are the users of a file. They do not change.
type Users struct {
	byName map[string]hash
	hashes []hashed
	digest [32]byte
}

// hashed is a hash, with its text.
type hashed struct {
	hash hash
	text string
}

type hash interface {
	matches(password []byte) bool
}

// Parse reads a file. Errors name the line and do not show hashes.
func Parse(text []byte) (*Users, error) {
	u := &Users{byName: map[string]hash{}, digest: sha256.Sum256(text)}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) > maxLine {
			return nil, fmt.Errorf("line %d is longer than %d bytes", number, maxLine)
		}
		name, encoded, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d is not a name, a colon and a hash", number)
		}
		if strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			return nil, fmt.Errorf("line %d has a control character in the name", number)
		}
		if u.byName[name] != nil {
			return nil, fmt.Errorf("line %d: user %q appears twice", number, name)
		}
		h, err := newHash(encoded)
		if err != nil {
			return nil, fmt.Errorf("line %d: the hash of user %q %w", number, name, err)
		}
		u.hashes = append(u.hashes, hashed{h, encoded})
		u.byName[name] = h
	}
	if len(u.hashes) == 0 {
		return nil, errors.New("it has no user")
	}
	return u, nil
}

// Digest identifies the content of the file.
func (u *Users) Digest() [32]byte { return u.digest }

// Len returns the number of users.
func (u *Users) Len() int { return len(u.byName) }

// Verify reports whether a user has that password. It takes as long as the hash was made to take. A name that does not exist takes as long
// as some user of the file, always the same one.
func (u *Users) Verify(name string, password []byte) bool {
	h := u.byName[name]
	if h == nil {
		u.decoy(name).matches(password)
		return false
	}
	return h.matches(password)
}

// decoy returns the hash that is checked for a name that does not exist. Which one depends on the name, so that in a file with several kinds
// and costs those names take all the times that users take, each as often, and a time tells nothing about a name. It stays the same
// while that line stays in the file, and cannot be predicted without the salts.
func (u *Users) decoy(name string) hash {
	var best hash
	var least [sha256.Size]byte
	for i := range u.hashes {
		sum := sha256.Sum256([]byte(u.hashes[i].text + ":" + name))
		if best == nil || bytes.Compare(sum[:], least[:]) < 0 {
			best, least = u.hashes[i].hash, sum
		}
	}
	return best
}

func newHash(s string) (hash, error) {
	switch {
	case strings.HasPrefix(s, "$2a$"), strings.HasPrefix(s, "$2b$"), strings.HasPrefix(s, "$2y$"):
		return newBcrypt(s)
	case strings.HasPrefix(s, "$argon2id$"), strings.HasPrefix(s, "$argon2i$"):
		return newArgon(s)
	}
	return nil, fmt.Errorf("is %s; lb reads bcrypt, as htpasswd -B writes it, and Argon2", formatOf(s))
}

// formatOf names the format of a hash that is not supported.
func formatOf(s string) string {
	for _, f := range [...]struct{ prefix, name string }{
		{"$apr1$", "MD5 of Apache ($apr1$)"}, {"$1$", "MD5 ($1$)"}, {"{SHA}", "SHA-1 ({SHA})"}, {"{SSHA}", "SHA-1 ({SSHA})"},
		{"$5$", "SHA-256 crypt ($5$)"}, {"$6$", "SHA-512 crypt ($6$)"}, {"$7$", "scrypt ($7$)"}, {"$y$", "yescrypt ($y$)"},
		{"$argon2d$", "Argon2d, which is not meant for passwords"}, {"{PLAIN}", "a password in plain text"}, {"$2", "an old form of bcrypt"},
	} {
		if strings.HasPrefix(s, f.prefix) {
			return f.name
		}
	}
	return "of an unknown format"
}

type bcryptHash []byte

func newBcrypt(s string) (hash, error) {
	cost, err := bcrypt.Cost([]byte(s))
	switch {
	case err != nil || len(s) != 60 || strings.Trim(s[7:], "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "":
		return nil, errors.New("is not a valid bcrypt hash of 60 characters")
	case cost > maxBcryptCost:
		return nil, fmt.Errorf("has cost %d, above %d", cost, maxBcryptCost)
	}
	return bcryptHash(s), nil
}

func (h bcryptHash) matches(password []byte) bool {
	return bcrypt.CompareHashAndPassword(h, password) == nil
}

type argonHash struct {
	id           bool // Argon2id; otherwise Argon2i
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

// newArgon reads "$argon2id$v=19$m=65536,t=3,p=4$SALT$KEY".
func newArgon(s string) (hash, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[2] != "v=19" {
		return nil, errors.New("is not Argon2 version 19, as in $argon2id$v=19$m=65536,t=3,p=4$SALT$KEY")
	}
	var values [3]uint64
	parameters := strings.Split(parts[3], ",")
	for i, name := range [...]string{"m=", "t=", "p="} {
		if len(parameters) != 3 || !strings.HasPrefix(parameters[i], name) {
			return nil, errors.New("has other Argon2 parameters than m, t and p")
		}
		n, err := strconv.ParseUint(parameters[i][2:], 10, 32)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("has no valid Argon2 parameter %s", name[:1])
		}
		values[i] = n
	}
	if values[0] > maxArgonMemory || values[1] > maxArgonTime || values[2] > maxArgonThreads {
		return nil, fmt.Errorf("has Argon2 parameters above m=%d,t=%d,p=%d", maxArgonMemory, maxArgonTime, maxArgonThreads)
	}
	salt, err := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || err2 != nil || len(salt) < 8 || len(key) < 16 || len(key) > 64 {
		return nil, errors.New("has no valid Argon2 salt and key")
	}
	return &argonHash{parts[1] == "argon2id", uint32(values[1]), uint32(values[0]), uint8(values[2]), salt, key}, nil
}

func (h *argonHash) matches(password []byte) bool {
	derive := argon2.Key
	if h.id {
		derive = argon2.IDKey
	}
	return subtle.ConstantTimeCompare(derive(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.key))), h.key) == 1
}
