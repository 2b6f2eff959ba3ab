package staticcache

import (
	"runtime"
	"testing"
	"weak"
)

// TestQueueHoldsNoBodies: files that were evicted before their turn to be compressed do not stay in memory for the queue.
func TestQueueHoldsNoBodies(t *testing.T) {
	c := newCache(64<<10, 1<<20) // not started: nothing is compressed
	d := open(t, c, DirOptions{Compress: true, Root: tree(t, map[string]string{"a.css": page(40_000), "b.css": page(40_000)})})
	poll(t, func() bool { // until the file is no longer a young one
		age(c)
		get(t, d, "/a.css", "Accept-Encoding", "br")
		return len(c.jobs) == 1
	})
	evicted := weak.Make(d.cached("a.css"))
	poll(t, func() bool {
		get(t, d, "/b.css")
		get(t, d, "/b.css")
		return d.cached("a.css") == nil
	})
	poll(t, func() bool {
		runtime.GC()
		return evicted.Value() == nil
	})
	runtime.KeepAlive(c)
}
