package staticcache

import (
	"iter"
	"sync/atomic"
	"unsafe"

	"github.com/maypok86/otter/v2"

	"lb/telemetry"
)

// Section holds values that are not files, such as responses of backends, in the memory of a Cache: they count towards its budget, and
// are evicted by the same policy. Its methods are safe for concurrent use.
type Section struct {
	cache     *Cache
	space     uint64
	bytes     atomic.Int64
	values    atomic.Int64
	evictions *telemetry.Counter
}

// sectionValue is a value of a section.
type sectionValue struct {
	section *Section
	value   any
	size    int64
}

// Section returns a new, empty section. It counts evictions in that counter.
func (c *Cache) Section(evictions *telemetry.Counter) *Section {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names += 2
	return &Section{cache: c, space: c.names, evictions: evictions}
}

// Get returns the value of a key, nil if there is none. It takes no lock and allocates nothing.
func (s *Section) Get(name []byte) any {
	// The string is a view for the lookup, which does not keep it.
	e, ok := s.cache.store.GetIfPresent(key{s.space, unsafe.String(unsafe.SliceData(name), len(name))})
	if !ok {
		return nil
	}
	return e.other.value
}

// Put sets the value of a key. size is the memory that the value uses, in bytes, without the key. A value that exceeds the budget is not
// kept, and neither is the earlier value of its key.
func (s *Section) Put(name string, value any, size int64) {
	e := &entry{other: &sectionValue{s, value, size}}
	k := key{s.space, name}
	if !s.cache.holds(e.weight(k)) {
		s.Delete(name)
		return
	}
	s.bytes.Add(e.weight(k))
	s.values.Add(1)
	s.cache.store.Set(k, e)
	s.cache.store.CleanUp()
}

// Resize sets the size of the value of a key as Put does, if the key has that value. It reports whether it has, and the value fits.
func (s *Section) Resize(name string, value any, size int64) bool {
	e := &entry{other: &sectionValue{s, value, size}}
	k := key{s.space, name}
	if !s.cache.holds(e.weight(k)) {
		return false
	}
	resized := false
	s.cache.store.ComputeIfPresent(k, func(now *entry) (*entry, otter.ComputeOp) {
		if resized = now.other.value == value; !resized {
			return nil, otter.CancelOp
		}
		s.bytes.Add(e.weight(k))
		s.values.Add(1)
		return e, otter.WriteOp
	})
	if resized {
		s.cache.store.CleanUp()
	}
	return resized
}

// Delete removes a key.
func (s *Section) Delete(name string) { s.cache.store.Invalidate(key{s.space, name}) }

// All yields the values with their keys. It takes time proportional to the size of the whole cache.
func (s *Section) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for k, e := range s.cache.store.All() {
			if k.space == s.space && !yield(k.path, e.other.value) {
				return
			}
		}
	}
}

// Bytes returns the memory that the values use, in bytes.
func (s *Section) Bytes() int64 { return s.bytes.Load() }

// Values returns the number of values.
func (s *Section) Values() int64 { return s.values.Load() }

// Memory returns the budget of the cache, in bytes.
func (s *Section) Memory() int64 { return s.cache.memory.Load() }

// deleted updates the counts for a value that was evicted, replaced or removed.
func (s *Section) deleted(d otter.DeletionEvent[key, *entry]) {
	s.bytes.Add(-d.Value.weight(d.Key))
	s.values.Add(-1)
	if d.Cause == otter.CauseOverflow {
		s.evictions.Inc()
	}
}
