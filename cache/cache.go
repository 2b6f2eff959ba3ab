// Package cache stores responses of backends in memory, as a shared cache by RFC 9111. It decides and stores; it sends nothing.
//
// A Cache holds the responses, a Route says how those of one route are stored. The proxy looks each request up:
//
//	l := route.Look(&request, buf)
//	switch l.Outcome {
//	case cache.Hit:
//		answer := l.Entry.Answer(request.Head)
//	case cache.Forward:
//		recording := route.Record(&l, &request, head, sent)
//		recording.Write(piece)
//		recording.Commit()
//	}
//
// A lookup takes no lock and allocates nothing if buf has room for the key. Responses are in the memory of the static cache, within its
// budget.
package cache

import (
	"sync/atomic"

	"lb/internal/stablehash"
	"lb/staticcache"
	"lb/telemetry"
)

// Cache holds the responses of all routes. Its methods are safe for concurrent use.
type Cache struct {
	section   *staticcache.Section
	purges    atomic.Uint64          // goes up with each purge
	epochs    [1 << 14]atomic.Uint32 // by a hash of the key: goes up when a response is invalidated
	indexes   atomic.Uint64          // the last generation of an index
	receiving atomic.Int64           // bytes of the responses that are being recorded
	shards    [1 << 6]shard          // of flights
	results   [results]*telemetry.Counter
}

// Result is how a request was served, as lb_cache_requests_total counts it.
type Result uint8

// The results.
const (
	CountHit         Result = iota // by a fresh response
	CountStale                     // by a stale one
	CountMiss                      // by the backend
	CountRevalidated               // by a stored response that the backend confirmed
	CountCollapsed                 // by the response to another request, for which it waited
	CountBypass                    // by the backend, as the request may not use the cache
	results
)

// New returns an empty cache that uses the memory of files. scope gets the series.
func New(files *staticcache.Cache, scope *telemetry.Scope) *Cache {
	c := &Cache{section: files.Section(scope.Counter("lb_cache_evictions_total"))}
	for i, name := range [...]string{"hit", "stale", "miss", "revalidated", "collapsed", "bypass"} {
		c.results[i] = scope.Counter("lb_cache_requests_total", "result", name)
	}
	scope.Gauge("lb_cache_bytes", func() float64 { return float64(c.section.Bytes()) })
	scope.Gauge("lb_cache_responses", func() float64 { return float64(c.section.Values()) })
	return c
}

// Count counts a request.
func (c *Cache) Count(r Result) { c.results[r].Inc() }

// Bytes returns the memory that the stored responses use.
func (c *Cache) Bytes() int64 { return c.section.Bytes() }

// epoch returns the counter of invalidations for a key.
func (c *Cache) epoch(key []byte) *atomic.Uint32 {
	return &c.epochs[stablehash.New().Add(key).Sum()%uint64(len(c.epochs))]
}

// RouteOptions say how the responses of a route are stored.
type RouteOptions struct {
	// Name identifies the route and what it does: routes with the same name share their responses, also over a reload.
	Name string
	Key  Key
	// TTL is for how many seconds a response is fresh that does not say so itself. 0: it is not stored.
	TTL int64
	// MaxObject is the size in bytes of the largest body that is stored.
	MaxObject int64
	// StaleWhileRevalidate and StaleIfError are for responses that do not say so themselves, in seconds. 0: they are not used stale.
	StaleWhileRevalidate, StaleIfError int64
}

// Route is the part of a cache that serves one route.
type Route struct {
	*Cache
	RouteOptions
	space []byte // the beginning of all keys
}

// Route returns the part of the cache for a route.
func (c *Cache) Route(o RouteOptions) *Route {
	return &Route{c, o, appendSized(nil, '=', []byte(o.Name))}
}
