package server

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/config"
)

const (
	// ticketRotation is how often session tickets get another key.
	ticketRotation = 24 * time.Hour
	// ticketLife is how long clients may use a ticket (RFC 8446 section 4.6.1).
	ticketLife = 7 * 24 * time.Hour
)

// tickets are random keys of session tickets. They outlast reloads, and the process when it hands over.
type tickets struct {
	use  sync.Mutex // held while listeners are given keys, and their files are read
	mu   sync.Mutex
	keys []ticketKey // the one in use first
}

type ticketKey struct {
	made time.Time // in seconds
	key  [32]byte
}

// ticketKeySize is the size of an encoded key in bytes.
const ticketKeySize = 8 + 32

// rotate makes a new key if one is due, and reports whether it did.
func (t *tickets) rotate(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) > 0 && now.Sub(t.keys[0].made) < ticketRotation {
		return false
	}
	key := ticketKey{made: now.Truncate(time.Second)}
	_, _ = rand.Read(key.key[:]) // never fails
	kept := []ticketKey{key}
	for _, k := range t.keys {
		if now.Sub(k.made) < ticketRotation+ticketLife {
			kept = append(kept, k)
		}
	}
	t.keys = kept
	return true
}

// random returns the keys.
func (t *tickets) random() (keys [][32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keys {
		keys = append(keys, k.key)
	}
	return keys
}

// encode returns the keys for the process that takes over.
func (t *tickets) encode() (b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.keys {
		b = binary.BigEndian.AppendUint64(b, uint64(k.made.Unix()))
		b = append(b, k.key[:]...)
	}
	return b
}

// decodeTicketKeys is the reverse of encode.
func decodeTicketKeys(b []byte) (keys []ticketKey) {
	for ; len(b) >= ticketKeySize; b = b[ticketKeySize:] {
		keys = append(keys, ticketKey{time.Unix(int64(binary.BigEndian.Uint64(b)), 0), [32]byte(b[8:ticketKeySize])})
	}
	return keys
}

// ticketUser is a listener with TLS.
type ticketUser struct {
	address string
	// trust distinguishes listeners that verify clients in different ways: a session with one is none with another.
	trust []byte
	file  *keyFile // nil: the random keys
}

func newTicketUser(address string, c *config.TLS) (ticketUser, error) {
	u := ticketUser{address: address, trust: []byte(c.ClientVerify)}
	if c.ClientCA != "" {
		authority, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return u, at(c.Pos, "cannot read client_ca", err)
		}
		u.trust = append(u.trust, authority...)
	}
	if c.SessionKeys != "" {
		u.file = newKeyFile(c.SessionKeys)
		if err := u.file.read(); err != nil {
			return u, at(c.Pos, "cannot use session_keys", err)
		}
	}
	return u, nil
}

// keys derives the listener's keys.
func (u *ticketUser) keys(t *tickets) (keys [][32]byte) {
	all := t.random()
	if u.file != nil {
		all = u.file.keys
	}
	for _, key := range all {
		mac := hmac.New(sha256.New, key[:])
		mac.Write(u.trust)
		keys = append(keys, [32]byte(mac.Sum(nil)))
	}
	return keys
}

// keyFile is a file of keys of session tickets.
type keyFile struct {
	watchedFile
	keys [][32]byte
}

func newKeyFile(path string) *keyFile {
	f := &keyFile{}
	f.watchedFile = watchedFile{path: path, attribute: "session_keys", use: func(text []byte) (err error) {
		keys, err := config.ParseSessionKeys(string(text))
		if err == nil {
			f.keys = keys
		}
		return err
	}}
	return f
}

// useTickets gives the listeners of the generation in force their keys.
func (s *Server) useTickets(g *generation) {
	s.tickets.use.Lock()
	defer s.tickets.use.Unlock()
	s.tickets.rotate(time.Now())
	s.setTicketKeys(g)
}

func (s *Server) setTicketKeys(g *generation) {
	for i := range g.tickets {
		u := &g.tickets[i]
		s.front.SetTicketKeys(u.address, u.keys(&s.tickets))
	}
}

// watchTickets makes new keys when they are due, and uses those of files that were replaced.
func (s *Server) watchTickets(g *generation, log hclog.Logger) {
	s.tickets.use.Lock()
	defer s.tickets.use.Unlock()
	if s.current.Load() != g {
		return
	}
	changed := s.tickets.rotate(time.Now())
	for i := range g.tickets {
		if f := g.tickets[i].file; f != nil && f.look(log) {
			changed = true
		}
	}
	if changed {
		s.setTicketKeys(g)
	}
}
