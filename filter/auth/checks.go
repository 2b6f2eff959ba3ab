// Package auth contains the filters that find out who a client is.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"lb/filter"
	"lb/internal/gcra"
	"lb/message"
)

const (
	cacheSlots    = 4096
	cacheLife     = 5 * time.Minute
	maxWaiting    = 256              // checks that wait for their turn
	maxWait       = 10 * time.Second // of each
	failuresBurst = 10               // failed logins of one client at once
	failuresEach  = 6 * time.Second  // until one more
	failedClients = 1 << 16          // clients that are remembered, in 1 MiB
)

// Checks is what all filters with passwords share: a cache of the credentials that were right, the failures of each client, and a bound on
// the checks at a time, since each takes a processor for a good part of a second. It takes no lock.
type Checks struct {
	secret   [32]byte // so that nobody outside can choose a slot, nor guess from a dump of the cache
	verified [cacheSlots]atomic.Pointer[verified]
	failures *gcra.Table
	rate     gcra.Rate
	turns    chan struct{}
	waiting  atomic.Int64
	now      func() time.Time
}

// verified are credentials that were right.
type verified struct {
	digest  [32]byte
	expires time.Time
	grant   *filter.Grant
}

// NewChecks returns checks of which at most half of the processors are busy with at a time.
func NewChecks() *Checks {
	c := &Checks{
		failures: gcra.NewTable(failedClients), rate: gcra.NewRate(1/failuresEach.Seconds(), failuresBurst),
		turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), now: time.Now,
	}
	_, _ = rand.Read(c.secret[:]) // it never fails
	return c
}

// digest identifies credentials for a file of users, whose digest changes with its content.
func (c *Checks) digest(users [32]byte, credentials []byte) [32]byte {
	var room [64 + maxCredentials]byte
	b := append(append(append(room[:0], c.secret[:]...), users[:]...), credentials...)
	return sha256.Sum256(b)
}

func (c *Checks) slot(digest *[32]byte) *atomic.Pointer[verified] {
	return &c.verified[binary.LittleEndian.Uint64(digest[:])%cacheSlots]
}

// known returns the grant for credentials that were right not long ago, or nil.
func (c *Checks) known(digest *[32]byte) *filter.Grant {
	v := c.slot(digest).Load()
	if v == nil || subtle.ConstantTimeCompare(v.digest[:], digest[:]) != 1 || c.now().After(v.expires) {
		return nil
	}
	return v.grant
}

func (c *Checks) remember(digest [32]byte, g *filter.Grant) {
	c.rememberUntil(digest, g, c.now().Add(cacheLife))
}

func (c *Checks) rememberUntil(digest [32]byte, g *filter.Grant, expires time.Time) {
	c.slot(&digest).Store(&verified{digest, expires, g})
}

var (
	overloaded = &filter.Refusal{Status: http.StatusServiceUnavailable, Reason: "too many logins are being checked", Rejected: "auth"}
	tooOften   = &filter.Refusal{
		Status: http.StatusTooManyRequests, Reason: "too many failed logins from this client", Rejected: "auth",
		Fields: []message.Field{message.NewField("Retry-After", "6")},
	}
)

// barred reports whether a client has failed too often.
func (c *Checks) barred(client uint64) bool { return !c.failures.Peek(client, c.rate).OK }

// turn waits for the turn of a check. If it returns no refusal, done must be called.
func (c *Checks) turn(ctx context.Context) (done func(), r *filter.Refusal) {
	if c.waiting.Add(1) > maxWaiting {
		c.waiting.Add(-1)
		return nil, overloaded
	}
	defer c.waiting.Add(-1)
	patience := time.NewTimer(maxWait)
	defer patience.Stop()
	select {
	case c.turns <- struct{}{}:
		return func() { <-c.turns }, nil
	case <-patience.C:
	case <-ctx.Done(): // nobody needs the result
	}
	return nil, overloaded
}
