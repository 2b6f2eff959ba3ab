// Package staticcache serves static files, from memory where they fit.
//
// A Cache holds file bodies within one byte budget; a Dir is one directory tree served out of it.
// A request for a cached file takes no shared lock, allocates nothing and makes no system call:
// its header lines were made when the file was read. Larger files than the limit are streamed
// from a descriptor.
//
//	cache := staticcache.New(staticcache.Options{Memory: 256 << 20, MaxFile: 8 << 20})
//	cache.Start(ctx)
//	dir, err := cache.Open(staticcache.DirOptions{Root: "/var/www"})
//	result, err := dir.Serve(w, &staticcache.Request{Method: method, Path: path})
//
// Files are opened only through an [os.Root], so no path and no symbolic link leads out of the tree. Symbolic links
// must be relative: an absolute one is treated as leading out.
package staticcache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/maypok86/otter/v2"

	"lb/telemetry"
)

const (
	// tick is the resolution of the cache's clock.
	tick = 100 * time.Millisecond

	// recheck is the age at which a cached file is compared with the disk again. Together with a tick it is less than
	// the second that the documentation promises.
	recheck = 800 * time.Millisecond

	// overhead is the memory, in bytes, of an entry without its body, header lines and name: the entry itself, the
	// cache's node and table slot. Without it, a million empty files would count as nothing.
	overhead = 512
)

// Options are the limits of a Cache and where it reports.
type Options struct {
	Memory  int64            // bytes of all cached bodies; 0 or less: nothing is cached, all is streamed
	MaxFile int64            // bytes; a larger file is streamed; 0 or less: nothing is cached
	Scope   *telemetry.Scope // where the lb_static_* series go; nil: no metrics
	Log     hclog.Logger     // nil: no log
}

// Cache holds bodies in memory within one byte budget, shared by all its Dirs.
type Cache struct {
	store   *otter.Cache[key, *entry]
	clock   atomic.Int64 // ns since start, advanced every tick: reading the real clock costs more than the lookup
	memory  atomic.Int64
	maxFile atomic.Int64
	loading atomic.Int64 // bytes being read
	bytes   atomic.Int64 // of all cached bodies
	files   atomic.Int64 // cached bodies
	counts  counters
	log     hclog.Logger
	watch   watch
	jobs    chan compression
	running sync.WaitGroup

	scratches sync.Pool // of *scratch

	mu    sync.Mutex // guards dirs and names; taken by Open and Close alone
	dirs  map[string]*Dir
	names uint64 // the last namespace given to a Dir
}

// key names one entry. The namespace is that of the Dir, and in it of bodies or of aliases.
type key struct {
	space uint64
	path  string // clean, without the leading slash
}

// New returns an empty cache. Nothing is invalidated by time or by the disk until Start.
func New(o Options) *Cache {
	c := &Cache{log: o.Log, dirs: map[string]*Dir{}, counts: newCounters(o.Scope)}
	if c.log == nil {
		c.log = hclog.NewNullLogger()
	}
	c.watch.requests = make(chan watchRequest, 1024)
	c.jobs = make(chan compression, 256)
	c.memory.Store(max(o.Memory, 0))
	c.maxFile.Store(o.MaxFile)
	c.store = otter.Must(&otter.Options[key, *entry]{
		MaximumWeight:    uint64(max(o.Memory, 1)),
		Weigher:          func(k key, e *entry) uint32 { return uint32(e.weight(k)) },
		OnAtomicDeletion: c.deleted,
		// Maintenance runs in the calling goroutine: starting another one would cost more.
		Executor: func(fn func()) { fn() },
	})
	if o.Scope != nil {
		o.Scope.Gauge("lb_static_cache_bytes", func() float64 { return float64(c.Bytes()) })
		o.Scope.Gauge("lb_static_cache_files", func() float64 { return float64(c.Files()) })
	}
	return c
}

// Start starts the clock, watches for changes on disk, and compresses files in the background, until ctx ends. Call it once.
func (c *Cache) Start(ctx context.Context) {
	c.running.Add(3)
	go func() {
		defer c.running.Done()
		c.runClock(ctx)
	}()
	go func() {
		defer c.running.Done()
		c.runWatch(ctx)
	}()
	go func() {
		defer c.running.Done()
		c.runJobs(ctx)
	}()
}

// Wait waits for the goroutines that Start has started.
func (c *Cache) Wait() { c.running.Wait() }

// SetLimits changes the budget and the largest cached file, in bytes, as on a reload.
// Entries beyond the budget are evicted.
func (c *Cache) SetLimits(memory, maxFile int64) {
	c.memory.Store(max(memory, 0))
	c.maxFile.Store(maxFile)
	c.store.SetMaximum(uint64(max(memory, 1)))
	c.store.CleanUp()
}

// Bytes returns the size of all cached bodies.
func (c *Cache) Bytes() int64 { return c.bytes.Load() }

// Files returns the number of cached bodies.
func (c *Cache) Files() int64 { return c.files.Load() }

func (c *Cache) runClock(ctx context.Context) {
	start, offset := time.Now(), c.clock.Load()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.clock.Store(offset + int64(time.Since(start)))
		}
	}
}

// fits reports whether a body of that size may be held in memory.
func (c *Cache) fits(size int64) bool {
	limit := c.maxFile.Load()
	return limit > 0 && size <= limit && size+overhead <= min(c.memory.Load(), 1<<32-1<<16)
}

// holds reports whether an entry of that weight may be kept. The weights of entries have 32 bits.
func (c *Cache) holds(weight int64) bool { return weight <= min(c.memory.Load(), 1<<32-1<<16) }

// put adds e and evicts entries at once, so that memory is within the budget when put returns.
func (c *Cache) put(k key, e *entry) {
	if !c.holds(e.weight(k)) {
		return
	}
	if !e.alias() {
		c.bytes.Add(e.bodies())
		c.files.Add(1)
	}
	c.store.Set(k, e)
	c.store.CleanUp()
}

// replace puts an entry in the place of another one, unless that is there no longer.
func (c *Cache) replace(k key, old, e *entry) {
	replaced := false
	c.store.ComputeIfPresent(k, func(now *entry) (*entry, otter.ComputeOp) {
		if replaced = now == old; !replaced {
			return nil, otter.CancelOp
		}
		c.bytes.Add(e.bodies())
		c.files.Add(1)
		return e, otter.WriteOp
	})
	if replaced {
		c.store.CleanUp()
	}
}

// deleted updates the gauges for an entry that was evicted, replaced or invalidated.
func (c *Cache) deleted(d otter.DeletionEvent[key, *entry]) {
	if other := d.Value.other; other != nil {
		other.section.deleted(d)
		return
	}
	if d.Value.alias() {
		return
	}
	c.bytes.Add(-d.Value.bodies())
	c.files.Add(-1)
	if d.Cause == otter.CauseOverflow {
		c.counts.evictions.Inc()
	}
}
