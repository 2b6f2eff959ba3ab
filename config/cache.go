package config

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Cache stores responses of the backends in memory (RFC 9111).
type Cache struct {
	Pos Pos
	// TTL is for how long a response is fresh that does not say so itself. 0: such a response is not stored.
	TTL time.Duration
	// Key is what the response depends on beside the scheme and the path: host, query, query:NAME, header:NAME and cookie:NAME.
	Key       []string
	MaxObject int64 // bytes of the largest body that is stored
	// StaleWhileRevalidate is for how long a response that does not say so itself may be used stale while a new one is fetched.
	StaleWhileRevalidate time.Duration
	StaleIfError         time.Duration // likewise, while the backends fail
}

func defaultCache() Cache { return Cache{Key: []string{"host", "query"}, MaxObject: 8 << 20} }

// readCache reads a block. Empty strings stand for the defaults.
func readCache(b *block) *Cache {
	if b == nil {
		return nil
	}
	c := defaultCache()
	c.Pos = b.pos(b.at)
	b.lifetime("ttl", &c.TTL)
	b.texts("key", "query:page", &c.Key, cacheKey)
	if len(c.Key) == 0 {
		c.Key = defaultCache().Key
	}
	b.size("max_object", &c.MaxObject, 1, 1<<30)
	b.lifetime("stale_while_revalidate", &c.StaleWhileRevalidate)
	b.lifetime("stale_if_error", &c.StaleIfError)
	b.end()
	if slices.Contains(c.Key, "query") && slices.ContainsFunc(c.Key, func(s string) bool { return strings.HasPrefix(s, "query:") }) {
		b.warn(b.place("key"), "key has the whole query and single parameters",
			`Remove "query" to ignore the other parameters, or the parameters.`)
	}
	return &c
}

// longestLifetime is the longest that HTTP expresses in seconds.
const longestLifetime = math.MaxInt32 * time.Second

// lifetime reads a duration in whole seconds; "" is 0.
func (b *block) lifetime(name string, to *time.Duration) {
	if b.written(name) && b.attributeIsEmptyText(name) {
		b.knownAttributes = append(b.knownAttributes, name)
		return
	}
	b.duration(name, to, 0)
	switch d := *to; {
	case d > longestLifetime:
		b.fail(b.place(name), name+" is too long", fmt.Sprintf("Write at most %q.", longestLifetime.String()))
	case d%time.Second != 0:
		b.fail(b.place(name), name+" is not a whole number of seconds",
			fmt.Sprintf("Write: %s = %q", name, max(d.Round(time.Second), time.Second).String()))
	}
}

// cacheKey requires a part of the key of responses.
func cacheKey(s string) (problem, remedy string) {
	words := []string{"host", "query", "query:NAME", "header:NAME", "cookie:NAME"}
	kind, name, named := strings.Cut(s, ":")
	switch {
	case s == "host" || s == "query":
		return "", ""
	case s == "path" || s == "scheme" || s == "uri":
		return fmt.Sprintf("needs no %q", s), "Remove it: the scheme and the path always are parts of the key."
	case named && isToken(name) && slices.Contains([]string{"query", "header", "cookie"}, kind):
		return "", ""
	}
	return fmt.Sprintf("cannot have %q", s), oneOfRemedy(s, words)
}

// checkCaching reports a cache that cannot store anything.
func (b *block) checkCaching(t *Route) {
	if t.Cache == nil {
		return
	}
	at := b.at
	for _, hb := range b.blocks {
		if hb.Type == "cache" {
			at = hb.DefRange()
			break
		}
	}
	if t.Proxy == nil {
		b.fail(at, fmt.Sprintf("route %q has a cache and no proxy", b.label),
			"Remove the block: only the responses of backends are stored; files are in memory anyway.")
		return
	}
	b.caches = append(b.caches, at)
}

// checkCacheMemory reports caches without memory.
func (r *reader) checkCacheMemory(s *StaticCache) {
	if s.Memory > 0 {
		return
	}
	for _, at := range r.caches {
		r.fail(at, "the cache has no memory",
			`Stored responses share the memory of the static cache. Write: static_cache { memory = "256MiB" }`)
	}
}
