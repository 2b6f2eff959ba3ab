package limit

import (
	"hash/maphash"
	"net/http"
	"sync"

	"lb/filter"
	"lb/message"
)

// concurrencyShards is how many independent parts the state of a Places has, so that loops hardly wait for each other.
const concurrencyShards = 64

// Places counts the requests in flight of each client. Its memory is bounded by the requests in flight.
type Places struct {
	seed   maphash.Seed
	shards [concurrencyShards]struct {
		mu    sync.Mutex
		taken map[uint64]int
		_     [48]byte // keeps shards on separate cache lines
	}
}

// NewPlaces returns an empty count.
func NewPlaces() *Places {
	p := &Places{seed: maphash.MakeSeed()}
	for i := range p.shards {
		p.shards[i].taken = map[uint64]int{}
	}
	return p
}

// take counts one more for a key, unless it has limit already.
func (p *Places) take(key uint64, limit int) bool {
	s := &p.shards[key%concurrencyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.taken[key]
	if n >= limit {
		return false
	}
	s.taken[key] = n + 1
	return true
}

// Release implements filter.Releaser.
func (p *Places) Release(key uint64) {
	s := &p.shards[key%concurrencyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[key]--; s.taken[key] <= 0 {
		delete(s.taken, key)
	}
}

// inFlight returns the count of a key.
func (p *Places) inFlight(key uint64) int {
	s := &p.shards[key%concurrencyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[key]
}

// Concurrency limits how many requests of each client are in flight.
type Concurrency struct {
	Key       Key
	Limit     int
	Places    *Places // which may be shared with the limit before a reload
	Decisions Decisions
}

var tooManyAtOnce = &filter.Refusal{
	Status: http.StatusTooManyRequests, Reason: "too many requests of this client are in flight", Rejected: "concurrency",
	Fields: []message.Field{message.NewField("Retry-After", "1")},
}

// Request implements filter.Request.
func (c *Concurrency) Request(x filter.Exchange) filter.Verdict {
	key, _ := c.Key.of(x, c.Places.seed)
	if !c.Places.take(key, c.Limit) {
		c.Decisions.Limited.Inc()
		return filter.Refuse(tooManyAtOnce)
	}
	c.Decisions.Allowed.Inc()
	return filter.Verdict{Hold: filter.Hold{By: c.Places, Key: key}}
}

// Explain implements filter.Explainer: it does not count the request.
func (c *Concurrency) Explain(x filter.Exchange) filter.Verdict {
	if key, known := c.Key.of(x, c.Places.seed); known && c.Places.inFlight(key) >= c.Limit {
		return filter.Refuse(tooManyAtOnce)
	}
	return filter.Pass
}
