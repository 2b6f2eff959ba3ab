// Package lease makes one limit of requests over time for a fleet of processes, by a Redis: each process leases tokens there, and decides
// with them by itself. A lease is small, and its tokens expire within a second, so that those which are not used are few.
package lease

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Outcome is the result of a decision.
type Outcome uint8

// The results.
const (
	Unknown     Outcome = iota // only Redis knows
	Granted                    // the request may pass
	Denied                     // the limit is reached
	Unavailable                // Redis cannot be asked
)

// patience is how long a request waits for Redis.
const patience = 50 * time.Millisecond

// Limit is a limit that all processes with the same name for it share.
type Limit struct {
	store    *Store
	table    *Table
	id       [sha256.Size]byte
	interval float64 // microseconds between two requests at the steady rate
	burst    int
	most     int // tokens in a lease
}

// NewLimit returns a limit of perSecond requests, above 0, with bursts of up to burst, from 1. Processes with the same name share it;
// their rates may differ for a while, as during a reload.
func (s *Store) NewLimit(name string, perSecond float64, burst int, t *Table) *Limit {
	return &Limit{
		store: s, table: t, id: sha256.Sum256([]byte(name)), interval: float64(time.Second/time.Microsecond) / perSecond, burst: burst,
		most: min(max(1, burst/10), maxLease),
	}
}

// Table returns what the limit remembers.
func (l *Limit) Table() *Table { return l.table }

// Down reports whether Redis cannot be used at present.
func (l *Limit) Down() bool { return l.store.Down() }

// Client is whom a limit applies to.
type Client struct {
	Key      uint64 // in the table
	Kind     byte   // of Identity, as of gcra.Key
	Identity []byte // what distinguishes the client in the whole fleet
}

// Take decides about a request, without waiting. It allocates nothing, except when it asks for more tokens in advance.
func (l *Limit) Take(c Client) Outcome {
	o, more := l.table.take(c.Key, l.most)
	if more && !l.store.Down() {
		// If that fails, the next request without a token asks.
		l.store.send(&ask{limit: l, client: Client{c.Key, c.Kind, bytes.Clone(c.Identity)}})
	}
	if o == Unknown && l.store.Down() {
		return Unavailable
	}
	return o
}

// Ask decides about a request for which Take has returned Unknown. It waits for Redis, 50 ms at most, and until ctx ends. It does not
// return Unknown.
func (l *Limit) Ask(ctx context.Context, c Client) Outcome {
	a := &ask{limit: l, client: c, outcome: make(chan Outcome, 1)}
	if !l.store.send(a) {
		return Unavailable
	}
	timer := time.NewTimer(l.store.patience)
	defer timer.Stop()
	select {
	case o := <-a.outcome:
		return o
	case <-timer.C:
	case <-ctx.Done():
	}
	return Unavailable
}

// name returns the name of a client's key in Redis. It is a hash, since what identifies the client may be a secret, such as an API key.
func (l *Limit) name(c *Client) string {
	h := sha256.New()
	h.Write(l.id[:])
	h.Write([]byte{c.Kind})
	h.Write(c.Identity)
	return prefix + hex.EncodeToString(h.Sum(nil)[:16])
}
