package staticcache

import (
	"testing"
)

func TestHitAllocatesNothing(t *testing.T) {
	d := open(t, newCache(1<<20, 1<<20), DirOptions{Root: tree(t, map[string]string{"a/b.css": "body", "index.html": "i"}),
		Index: []string{"index.html"}, TryFiles: []string{"{path}", "{path}/", "/index.html"}})
	etag := want(t, d, "/a/b.css", "body").header.Get("Etag")
	modified := want(t, d, "/", "i").header.Get("Last-Modified")
	want(t, d, "/app/route", "i")
	for name, r := range map[string]struct {
		Request
		status int
	}{
		"GET":       {Request{Path: []byte("/a/b.css")}, 200},
		"index":     {Request{Path: []byte("/")}, 200},
		"fallback":  {Request{Path: []byte("/app/route")}, 200},
		"HEAD":      {Request{Path: []byte("/a/b.css"), Method: []byte("HEAD")}, 200},
		"304":       {Request{Path: []byte("/a/b.css"), IfNoneMatch: []byte(`"x", W/` + etag)}, 304},
		"304 dated": {Request{Path: []byte("/a/b.css"), IfModifiedSince: []byte(modified)}, 304},
	} {
		if r.Method == nil {
			r.Method = []byte("GET")
		}
		w := &discard{}
		var i any = w // the conversion to the interface is the caller's
		rw := i.(ResponseWriter)
		allocs := testing.AllocsPerRun(1000, func() {
			if result, err := d.Serve(rw, &r.Request); result != Served || err != nil || w.status != r.status {
				t.Fatalf("%s: %v %v %d", name, result, err, w.status)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkHit(b *testing.B) {
	d := open(b, newCache(1<<20, 1<<20), DirOptions{Root: tree(b, map[string]string{"images/logo.png": "body", "index.html": "i"}), Index: []string{"index.html"}})
	for name, path := range map[string]string{"file": "/images/logo.png", "index": "/"} {
		want(b, d, path, map[string]string{"file": "body", "index": "i"}[name])
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				w := &discard{}
				r := &Request{Method: []byte("GET"), Path: []byte(path)}
				for pb.Next() {
					if result, _ := d.Serve(w, r); result != Served {
						b.Fatal(result)
					}
				}
			})
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	// A budget that is more than half full, so that each lookup is recorded for the eviction too.
	c := newCache(2048, 1<<20)
	d := open(b, c, DirOptions{Root: tree(b, map[string]string{"images/logo.png": "body", "b": "i"})})
	want(b, d, "/images/logo.png", "body")
	want(b, d, "/b", "i")
	if c.Files() != 2 {
		b.Fatalf("%d files", c.Files())
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if d.cached("images/logo.png") == nil {
				b.Fatal("evicted")
			}
		}
	})
}
