package staticcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lb/telemetry"

	"lb/message"
)

// audit compares the gauges with what is in the cache.
func audit(t testing.TB, c *Cache) {
	t.Helper()
	var bytes, files, weight int64
	for k, e := range c.store.All() {
		weight += e.weight(k)
		if !e.alias() {
			bytes += e.bodies()
			files++
		}
	}
	if bytes != c.Bytes() || files != c.Files() {
		t.Errorf("gauges say %d bytes in %d files, the cache holds %d in %d", c.Bytes(), c.Files(), bytes, files)
	}
	if budget := c.memory.Load(); weight > budget {
		t.Errorf("%d bytes of %d", weight, budget)
	}
}

func TestBudget(t *testing.T) {
	files := map[string]string{"big": strings.Repeat("b", 9<<10), "whole": strings.Repeat("w", 20<<10)}
	for i := range 50 {
		files[fmt.Sprintf("f%d", i)] = strings.Repeat("x", 500+i*20)
	}
	c := newCache(16<<10, 1<<20)
	d := open(t, c, DirOptions{Root: tree(t, files)})
	for range 3 {
		for name, body := range files {
			if a := want(t, d, name, body); a.streamed != (name == "whole") {
				t.Errorf("%s: streamed %v", name, a.streamed)
			}
			audit(t, c)
		}
	}
	if c.counts.evictions.Get() == 0 || c.Files() == 0 {
		t.Errorf("%d evictions, %d files", c.counts.evictions.Get(), c.Files())
	}
	if read := c.counts.miss.Get(); read != c.counts.evictions.Get()+uint64(c.Files()) {
		t.Errorf("%d read, %d evicted, %d left", read, c.counts.evictions.Get(), c.Files())
	}
	c.SetLimits(4<<10, 1<<20)
	audit(t, c)
	c.SetLimits(0, 0)
	if c.Files() != 0 || c.Bytes() != 0 {
		t.Errorf("%d files, %d bytes in no memory", c.Files(), c.Bytes())
	}
	if a := want(t, d, "f1", files["f1"]); !a.streamed {
		t.Error("cached in no memory")
	}
}

// Files being read count too: many first requests for large files must not exceed the budget together.
func TestLoadsInFlightAreBounded(t *testing.T) {
	c := newCache(10<<10, 1<<20)
	d := open(t, c, DirOptions{Root: tree(t, map[string]string{"f": strings.Repeat("x", 4<<10)})})
	c.loading.Add(8 << 10) // as two other requests would
	if a := want(t, d, "/f", strings.Repeat("x", 4<<10)); !a.streamed {
		t.Error("read in beyond the budget")
	}
	c.loading.Add(-8 << 10)
	if a := want(t, d, "/f", strings.Repeat("x", 4<<10)); a.streamed || c.loading.Load() != 0 {
		t.Errorf("streamed %v, loading %d", a.streamed, c.loading.Load())
	}
}

func TestCloseEmptiesAndOpenShares(t *testing.T) {
	c := newCache(1<<20, 1<<20)
	root := tree(t, map[string]string{"a": "x", "d/i": "y"})
	o := DirOptions{Root: root, Index: []string{"i"}}
	one, err := c.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	want(t, one, "/a", "x")
	want(t, one, "/d/", "y")
	two := open(t, c, DirOptions{Root: root + "/", Index: []string{"i"}})
	if one != two {
		t.Error("the same options opened another Dir")
	}
	other := open(t, c, DirOptions{Root: root, Index: []string{"i"}, CacheControl: "no-store"})
	if a := want(t, other, "/a", "x"); a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("options mixed up: %q", a.raw)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if want(t, two, "/a", "x"); c.counts.hit.Get() != 1 || c.Files() != 3 {
		t.Errorf("%d hits, %d files: the first Close took the files of the second Open", c.counts.hit.Get(), c.Files())
	}
	last, err := c.Open(DirOptions{Root: root, Dotfiles: true})
	if err != nil {
		t.Fatal(err)
	}
	want(t, last, "/a", "x")
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	if c.Files() != 3 {
		t.Errorf("%d files after Close", c.Files())
	}
	audit(t, c)
	if result, err := last.Serve(&discard{}, &Request{Method: []byte("GET"), Path: []byte("/a")}); result != Failed || !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v %v", result, err)
	}
}

// bodies records which memory was sent.
type bodies struct {
	discard
	body []byte
}

func (b *bodies) Respond(_ int, _ []message.Field, body []byte) error { b.body = body; return nil }

func TestConcurrentFirstRequestsReadOnce(t *testing.T) {
	c := newCache(64<<20, 16<<20)
	d := open(t, c, DirOptions{Root: tree(t, map[string]string{"f": strings.Repeat("x", 4<<20)})})
	var wg sync.WaitGroup
	writers := make([]bodies, 32)
	for i := range writers {
		wg.Go(func() {
			if result, err := d.Serve(&writers[i], &Request{Method: []byte("GET"), Path: []byte("/f")}); result != Served || err != nil {
				t.Error(result, err)
			}
		})
	}
	wg.Wait()
	for i := range writers {
		if &writers[i].body[0] != &writers[0].body[0] {
			t.Fatal("the file was read twice")
		}
	}
	audit(t, c)
}

// Many files replaced at random under load, in too little memory: every response is whole, and the gauges are right.
func TestReplaceUnderLoad(t *testing.T) {
	c := newCache(256<<10, 1<<20)
	root := tree(t, map[string]string{})
	const files, size = 8, 48 << 10
	replace := func(i int, letter byte) {
		name := filepath.Join(root, fmt.Sprint(i))
		if err := os.WriteFile(name+".new", bytes.Repeat([]byte{letter}, size), 0o644); err != nil {
			t.Error(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Error(err)
		}
	}
	for i := range files {
		replace(i, 'a')
	}
	d := open(t, c, DirOptions{Root: root})
	ctx, cancel := context.WithCancel(t.Context())
	c.Start(ctx)
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	writers.Go(func() {
		for n := range 200 {
			replace(n%files, "abcdefgh"[n%8])
			if n%3 == 0 {
				age(c)
			}
		}
	})
	for g := range 4 {
		readers.Go(func() {
			for n := g; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				w := &bodies{}
				r := &Request{Method: []byte("GET"), Path: fmt.Append(nil, "/", n%files)}
				if result, err := d.Serve(w, r); result != Served || err != nil {
					t.Error(result, err)
					return
				}
				if w.body != nil && (len(w.body) != size || bytes.Count(w.body, w.body[:1]) != size) {
					t.Error("a mix was served")
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	cancel()
	c.Wait()
	audit(t, c)
	age(c)
	for i := range files {
		want(t, d, fmt.Sprint(i), strings.Repeat(string("abcdefgh"[(200-files+i)%8]), size))
	}
}

func TestMetrics(t *testing.T) {
	registry := telemetry.NewRegistry()
	scope := registry.NewScope()
	defer scope.Close()
	c := New(Options{Memory: 1 << 20, MaxFile: 100, Scope: scope})
	d := open(t, c, DirOptions{Root: tree(t, map[string]string{"a": "12345", "b": strings.Repeat("x", 200)})})
	etag := want(t, d, "/a", "12345").header.Get("Etag")
	want(t, d, "/a", "12345")
	want(t, d, "//a", "12345")
	get(t, d, "/a", "If-None-Match", etag)
	want(t, d, "/b", strings.Repeat("x", 200))
	get(t, d, "/none")
	var b bytes.Buffer
	if err := registry.WritePrometheus(&b); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`lb_static_requests_total{result="hit"} 2`, `lb_static_requests_total{result="miss"} 1`,
		`lb_static_requests_total{result="stream"} 1`, `lb_static_requests_total{result="not_modified"} 1`,
		`lb_static_cache_bytes 5`, `lb_static_cache_files 1`, `lb_static_evictions_total 0`} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("no %s in\n%s", line, b.String())
		}
	}
}
