package staticcache

import (
	"context"
	"slices"
	"sync/atomic"

	"lb/internal/coding"
)

// smallestCompressed is the smallest file, in bytes, that is compressed: smaller ones are sent in one packet either way.
const smallestCompressed = 256

// compressibleTypes are the types of files that are compressed.
var compressibleTypes = coding.NewTypes(coding.DefaultTypes)

// job is the compression of a file in memory.
type job struct{ state atomic.Int32 }

// The states of a job. Its end is a new entry with the variants, whose job is the zero value.
const (
	jobNone   int32 = iota // there is nothing to do
	jobWanted              // a request that accepts a coding requests it
	jobQueued              // it was requested, and is not requested again
)

// compression is a job in the queue. It names its entry and does not hold it, since the memory of one that has been evicted is not counted.
type compression struct {
	dir  *Dir
	name string
}

// compressible reports whether a file of that type and size is compressed in the background.
func (d *Dir) compressible(r *representation, size int) bool {
	return size >= smallestCompressed && size <= coding.MostWhole && compressibleTypes.Contains([]byte(r.contentType))
}

// request requests the compression of a file, unless the queue is full: then a later request does.
func (c *Cache) request(d *Dir, e *entry) {
	if !e.job.state.CompareAndSwap(jobWanted, jobQueued) {
		return
	}
	select {
	case c.jobs <- compression{d, e.name}:
	default:
		e.job.state.Store(jobWanted)
	}
}

// runJobs compresses one file after the other, so that it uses at most one processor.
func (c *Cache) runJobs(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case j := <-c.jobs:
			if e, ok := c.store.GetIfPresent(key{j.dir.bodies, j.name}); ok && e.job.state.Load() == jobQueued {
				j.dir.addVariants(ctx, e)
			}
		}
	}
}

// addVariants replaces an entry by one with all compressed variants that are worth their memory.
func (d *Dir) addVariants(ctx context.Context, old *entry) {
	k := d.key(old)
	e := &entry{file: true, name: old.name, variant: old.variant, id: old.id, siblings: old.siblings, young: old.young}
	var added []variant
	for _, c := range coding.All {
		if now, ok := d.cache.store.GetIfPresent(k); !ok || now != old || d.closed.Load() || ctx.Err() != nil {
			return // the file has changed, or was evicted
		}
		if slices.ContainsFunc(old.encoded, func(v variant) bool { return v.coding == c }) {
			continue
		}
		body, err := coding.Compress(c, old.body)
		if err != nil || len(body) > len(old.body)-len(old.body)/16 {
			continue
		}
		r := old.representation
		r.coding = c
		added = append(added, newVariant(r, slices.Clip(body)))
	}
	slices.SortStableFunc(added, bySize)
	e.encoded = slices.Concat(old.encoded, added)
	for len(e.encoded) > len(old.encoded) && !d.cache.holds(e.weight(k)) {
		e.encoded = e.encoded[:len(e.encoded)-1]
	}
	e.due.Store(old.due.Load())
	e.epoch.Store(old.epoch.Load())
	d.cache.replace(k, old, e)
}
