package cache

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"lb/message"
	"lb/staticcache"
	"lb/telemetry"
)

func newCache(memory int64) *Cache {
	return New(staticcache.New(staticcache.Options{Memory: memory, MaxFile: memory}), telemetry.NewRegistry().NewScope())
}

func fields(lines ...string) (list []message.Field) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		list = append(list, message.NewField(name, value))
	}
	return list
}

func get(host, path string, now time.Time, lines ...string) *Request {
	p, query, _ := strings.Cut(path, "?")
	if query != "" {
		query = "?" + query
	}
	return &Request{Head: &message.Request{Method: []byte("GET"), Target: []byte(path), Authority: []byte(host), Fields: fields(lines...)},
		Path: []byte(p), Query: []byte(query), Now: now.UnixNano()}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// put stores a response; it reports whether it could.
func put(r *Route, q *Request, body string, lines ...string) bool {
	l := r.Look(q, nil)
	rec := r.Record(&l, q, &message.Response{Status: 200, Fields: fields(lines...), Length: int64(len(body))}, q.Now)
	if rec == nil || !rec.Write([]byte(body)) {
		return false
	}
	rec.Commit()
	return true
}

// TestAging: a response ages, is used stale as far as it is allowed to, and then no more.
func TestAging(t *testing.T) {
	r := newCache(1 << 20).Route(RouteOptions{Name: "r", Key: NewKey(nil), MaxObject: 1 << 10})
	put(r, get("a", "/", start), "x", "Cache-Control: max-age=10, stale-while-revalidate=10, stale-if-error=30", "ETag: \"1\"", "Age: 2")
	for after, want := range map[int]Outcome{0: Hit, 7: Hit, 8: Refresh, 17: Refresh, 18: Validate, 1000: Validate} {
		now := start.Add(time.Duration(after) * time.Second)
		l := r.Look(get("a", "/", now), nil)
		if l.Outcome != want || l.Entry.Age(now.UnixNano()) != int64(after)+2 {
			t.Errorf("after %d s: %d, age %d", after, l.Outcome, l.Entry.Age(now.UnixNano()))
		}
		if usable := l.Entry.UsableOnError(now.UnixNano()); usable != (after < 38) {
			t.Errorf("after %d s: usable on error %v", after, usable)
		}
	}
	// The clock may go back.
	if l := r.Look(get("a", "/", start.Add(-time.Hour)), nil); l.Outcome != Hit || l.Entry.Age(start.Add(-time.Hour).UnixNano()) != 2 {
		t.Errorf("%d", l.Outcome)
	}
}

// TestMemory: whatever is stored, the budget is kept, with heads, keys, tags and the indexes of variants.
func TestMemory(t *testing.T) {
	const memory = 4 << 20
	c := newCache(memory)
	r := c.Route(RouteOptions{Name: "r", Key: NewKey(nil), MaxObject: 1 << 20})
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		lines := []string{"Cache-Control: max-age=1000", "X-Long: " + strings.Repeat("h", random.IntN(500))}
		if i%3 == 0 {
			lines = append(lines, "Vary: X-A", "Cache-Tag: a, b, "+strings.Repeat("t", random.IntN(200)))
		}
		path := fmt.Sprintf("/%d%s", random.IntN(5000), strings.Repeat("p", random.IntN(200)))
		put(r, get("a", path, start, fmt.Sprintf("X-A: %d", random.IntN(10))), strings.Repeat("b", random.IntN(4000)), lines...)
		if n := c.Bytes(); n > memory {
			t.Fatalf("%d bytes after %d responses", n, i)
		}
	}
	if c.Bytes() < memory/2 || c.receiving.Load() != 0 {
		t.Errorf("%d bytes in use, %d being received", c.Bytes(), c.receiving.Load())
	}
	// What is being received is bounded, too.
	var all []*Recording
	for i := range 100 {
		q := get("a", fmt.Sprintf("/large%d", i), start)
		l := r.Look(q, nil)
		head := &message.Response{Status: 200, Fields: fields("Cache-Control: max-age=9"), Length: -1}
		if rec := r.Record(&l, q, head, q.Now); rec != nil && rec.Write(make([]byte, 1<<19)) {
			all = append(all, rec)
		}
	}
	if n := c.receiving.Load(); n > memory/share || len(all) == 0 {
		t.Errorf("%d bytes are being received, of %d responses", n, len(all))
	}
	for _, rec := range all {
		rec.Abort()
	}
	if n := c.receiving.Load(); n != 0 {
		t.Errorf("%d bytes are still being received", n)
	}
	removed, err := c.Purge(Purge{Prefix: "/"})
	if err != nil || removed == 0 || c.Bytes() != 0 {
		t.Errorf("%d removed, %d bytes left, %v", removed, c.Bytes(), err)
	}
}

// TestShared: files and responses share one budget.
func TestShared(t *testing.T) {
	const memory = 1 << 20
	files := staticcache.New(staticcache.Options{Memory: memory, MaxFile: memory})
	ctx, cancel := context.WithCancel(context.Background())
	files.Start(ctx)
	defer func() { cancel(); files.Wait() }()
	c := New(files, telemetry.NewRegistry().NewScope())
	r := c.Route(RouteOptions{Name: "r", Key: NewKey(nil), MaxObject: memory})
	for i := range 100 {
		put(r, get("a", fmt.Sprintf("/%d", i), start), strings.Repeat("x", 64<<10), "Cache-Control: max-age=1000")
	}
	before := c.Bytes()
	files.SetLimits(memory/4, memory)
	if n := c.Bytes(); before < memory/2 || n > memory/4 {
		t.Errorf("%d bytes before, %d after the budget became smaller", before, n)
	}
}

// TestKeys: requests that differ in what the backend may look at have different keys; spellings of a host have one.
func TestKeys(t *testing.T) {
	c := newCache(1 << 20)
	key := func(list []string, q *Request) string {
		l := c.Route(RouteOptions{Name: "r", Key: NewKey(list)}).Look(q, nil)
		return string(l.Key)
	}
	named := []string{"host", "query:a", "query:b", "header:x-a", "cookie:c"}
	same := [][2]*Request{
		{get("A.Example", "/", start), get("a.example:80", "/", start)},
		{get("a", "/?a=1&z=2", start), get("a", "/?z=3&a=1", start)},
		{get("a", "/", start, "Cookie: d=1"), get("a", "/", start, "Cookie: e=1; f=2")},
	}
	for i, pair := range same {
		list := named
		if i == 0 {
			list = nil
		}
		if key(list, pair[0]) != key(list, pair[1]) {
			t.Errorf("%d: different keys", i)
		}
	}
	for i, pair := range [][2]*Request{
		{get("a", "/", start), get("b", "/", start)},
		{get("a", "/?a=1", start), get("a", "/?a=2", start)},
		{get("a", "/?a=1&b=2", start), get("a", "/?a=1%26b=2", start)},
		{get("a", "/?a=1&a=2", start), get("a", "/?a=2&a=1", start)},
		{get("a", "/?a=1", start), get("a", "/?b=1", start)},
		{get("a", "/?a", start), get("a", "/?a=", start)},
		{get("a", "/?a.x=1", start), get("a", "/?a.x=2", start)},
		{get("a", "/", start, "X-A: 1", "X-A: 2"), get("a", "/", start, "X-A: 1, 2")},
		{get("a", "/", start, "X-A: "), get("a", "/", start)},
		{get("a", "/", start, "Cookie: c=1"), get("a", "/", start, "Cookie: c=2")},
		{get("a", "/", start, "Cookie: c=1; c=2"), get("a", "/", start, "Cookie: c=12")},
		{get("a", "/", start, "Cookie: c=1", "Cookie: c=2"), get("a", "/", start, "Cookie: c=1")},
	} {
		if key(named, pair[0]) == key(named, pair[1]) {
			t.Errorf("%d: one key", i)
		}
	}
	other := c.Route(RouteOptions{Name: "s", Key: NewKey(nil)}).Look(get("a", "/", start), nil)
	if string(other.Key) == key(nil, get("a", "/", start)) {
		t.Error("two routes share a key")
	}
}

// TestLookupAllocatesNothing also with variants.
func TestLookupAllocatesNothing(t *testing.T) {
	r := newCache(1 << 20).Route(RouteOptions{Name: "r", Key: NewKey([]string{"host", "query:a", "header:X-A"}), MaxObject: 1 << 10})
	q := get("Example.com", "/path?a=1&b=2", start, "X-A: 1", "Accept-Encoding: gzip, br", "Cookie: a=b", "Cache-Control: max-age=100")
	put(r, q, "x", "Cache-Control: max-age=1000", "Vary: Accept-Encoding")
	buf := make([]byte, 0, 1<<10)
	n := testing.AllocsPerRun(100, func() {
		if l := r.Look(q, buf); l.Outcome != Hit {
			t.Fatal(l.Outcome)
		} else if a := l.Entry.Answer(q.Head); a.Status != 200 {
			t.Fatal(a.Status)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestHugeFields: what a backend sends is bounded in cost.
func TestHugeFields(t *testing.T) {
	r := newCache(1 << 20).Route(RouteOptions{Name: "r", Key: NewKey(nil), MaxObject: 1 << 10})
	long := strings.Repeat("x", 1<<15)
	for _, line := range []string{
		"Vary: " + strings.Repeat("a,", 1<<14), "Vary: " + long, "Cache-Tag: " + strings.Repeat("t,", 1<<14), "Cache-Tag: " + long,
		"CDN-Cache-Control: " + strings.Repeat("a,", 1<<14) + "a", "Expires: " + long, "ETag: " + long, "Last-Modified: " + long,
		"Cache-Control: " + strings.Repeat("\"", 1<<14),
	} {
		q := get("a", "/"+line[:4], start)
		put(r, q, "x", "Cache-Control: max-age=1000", line)
		if l := r.Look(q, nil); l.Entry != nil && len(l.Entry.tags) > maxTags {
			t.Errorf("%d tags", len(l.Entry.tags))
		}
	}
	// So is what a client sends.
	q := get("a", "/", start)
	put(r, q, "x", "Cache-Control: max-age=1000", "Vary: X-A", "ETag: \"1\"")
	for _, line := range []string{
		"If-None-Match: " + strings.Repeat("\"a\",", 1<<13), "If-None-Match: " + strings.Repeat("W/", 1<<14),
		"Range: bytes=" + strings.Repeat("0-0,", 1<<13),
		"Cache-Control: " + strings.Repeat("max-age=1,", 1<<12), "X-A: " + long,
	} {
		q := get("a", "/", start, line)
		if l := r.Look(q, nil); l.Entry != nil {
			l.Entry.Answer(q.Head)
		}
		if put(r, q, "x", "Cache-Control: max-age=1000", "Vary: X-A") && strings.HasPrefix(line, "X-A") {
			t.Error("a variant with a key of 32 KiB is stored")
		}
	}
}

// TestFlight: one leads, others wait up to the bound, and leave.
func TestFlight(t *testing.T) {
	c := newCache(1 << 20)
	r := c.Route(RouteOptions{Name: "r", Key: NewKey(nil), MaxObject: 1 << 10})
	l := r.Look(get("a", "/", start), nil)
	lead, wait, _ := c.Join(&l, func() {})
	if lead == nil || wait != nil || lead.Waited() {
		t.Fatal("the first does not lead")
	}
	woken := 0
	var waiters []*Waiter
	for range maxWaiters {
		_, w, other := c.Join(&l, func() { woken++ })
		if w == nil || !other {
			t.Fatal("it does not wait")
		}
		waiters = append(waiters, w)
	}
	if f, w, other := c.Join(&l, func() {}); f != nil || w != nil || !other {
		t.Error("one waits beyond the bound")
	}
	for _, w := range waiters[:10] {
		w.Leave()
		w.Leave()
	}
	if !lead.End() || woken != maxWaiters-10 {
		t.Errorf("%d woken", woken)
	}
	waiters[11].Leave()
	if f, _, _ := c.Join(&l, nil); f == nil {
		t.Error("the flight did not end")
	}
}

// FuzzRequest: no head of a request makes a lookup or a response from the cache fail, and two requests share a response only if they have
// the same path.
func FuzzRequest(f *testing.F) {
	f.Add("/a?b=c", "a", "Range", "bytes=0-", "Cookie", "c=d", byte(0))
	f.Add("/a?b=%61;c", "a:80", "If-None-Match", "W/\"1\", *", "Cache-Control", "max-stale=x, min-fresh=\"1", byte(1))
	f.Add("/", "", "If-Range", "\"1\"", "Range", "bytes=-5", byte(2))
	key := NewKey([]string{"host", "query:b", "cookie:c", "header:x-a"})
	r := newCache(1 << 20).Route(RouteOptions{Name: "r", Key: key, MaxObject: 1 << 10})
	body := "0123456789"
	put(r, get("a", "/stored", start), body, "Cache-Control: max-age=1000", "ETag: \"1\"", "Last-Modified: Thu, 01 Jan 2015 00:00:00 GMT")
	entry := r.Look(get("a", "/stored", start), nil).Entry
	f.Fuzz(func(t *testing.T, target, host, name1, value1, name2, value2 string, flags byte) {
		if strings.ContainsAny(target+host+value1+value2, "\r\n\x00") || !message.IsToken([]byte(name1)) || !message.IsToken([]byte(name2)) {
			t.Skip()
		}
		q := get(host, target, start, name1+": "+value1, name2+": "+value2)
		q.Secure, q.Trusted = flags&1 != 0, flags&2 != 0
		l := r.Look(q, nil)
		if l.Outcome == Hit && (string(q.Path) != "/stored" || !strings.EqualFold(strings.TrimSuffix(host, ":80"), "a")) {
			t.Errorf("%q %q got a response that is not its own", host, target)
		}
		a := entry.Answer(q.Head)
		switch {
		case a.Status == 200 && string(a.Body) != body, a.Status == 304 && len(a.Body) > 0:
			t.Errorf("%d %q", a.Status, a.Body)
		case a.Status == 206 && a.Several == nil && (len(a.Body) == 0 || string(a.Body) != body[a.From:a.From+int64(len(a.Body))]):
			t.Errorf("%d %q from %d", a.Status, a.Body, a.From)
		}
	})
}

// FuzzResponse: no head of a response makes storing fail, and none is stored against the strictest directives.
func FuzzResponse(f *testing.F) {
	f.Add("Cache-Control", "max-age=60, no-store", "Vary", "a, b", 200)
	f.Add("CDN-Cache-Control", "max-age=60;a=\"b\\\"\", c=?1, d=1.5", "Expires", "Thu, 01 Jan 2099 00:00:00 GMT", 404)
	f.Add("Age", "5", "Date", "Thu, 01 Jan 2099 00:00:00 GMT", 301)
	f.Add("Cache-Tag", "a,b,,", "ETag", "W/\"", 304)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, status int) {
		if strings.ContainsAny(name1+value1+name2+value2, "\r\n\x00") || !message.IsToken([]byte(name1)) || !message.IsToken([]byte(name2)) {
			t.Skip()
		}
		r := newCache(1 << 16).Route(RouteOptions{Name: "r", Key: NewKey(nil), MaxObject: 1 << 10, TTL: 10})
		q := get("a", "/", start)
		l := r.Look(q, nil)
		head := &message.Response{Status: status, Fields: fields(name1+": "+value1, name2+": "+value2, "ETag: \"1\""), Length: 1}
		rec := r.Record(&l, q, head, q.Now)
		if rec == nil {
			return
		}
		rec.Write([]byte("x"))
		rec.Commit()
		private := strings.EqualFold(name1, "cache-control") && strings.EqualFold(value1, "private") && !strings.EqualFold(name2, "cdn-cache-control")
		if strings.EqualFold(name1, "set-cookie") || private {
			t.Errorf("%s: %s is stored", name1, value1)
		}
		l = r.Look(q, nil)
		if l.Entry == nil {
			return
		}
		e := r.Confirm(&l, q, &message.Response{Status: 304, Fields: fields(name2 + ": " + value2)}, q.Now)
		if a := e.Answer(q.Head); a.Status != 304 && !bytes.Equal(a.Body, []byte("x")) {
			t.Errorf("%d %q", a.Status, a.Body)
		}
	})
}

func TestParseDate(t *testing.T) {
	for text, want := range map[string]int64{
		"Thu, 01 Jan 2015 00:00:00 GMT": 1420070400, "thu, 01 jan 2015 00:00:00 gmt": 1420070400, "Mon, 01 Jan 2015 00:00:00 GMT": 1420070400,
		"Thursday, 01-Jan-15 00:00:00 GMT": 1420070400, "Thu Jan  1 00:00:00 2015": 1420070400, "Thu Jan 01 00:00:00 2015": 1420070400,
		"Thu Aug 18 02:01:18 2050": 2544400878,
		"":                         none, "0": none, "Thu, 01 Jan 2015 00:00:00": none, "Thu, 1 Jan 2015 00:00:00 GMT": none, "Thu, 01 Jan 2015 0:00:00 GMT": none,
		"Thu, 01  Jan 2015 00:00:00 GMT": none, "Thu, 01 Jan 2015 00:00:00 UTC": none, "Thu, 01 Jan 2015 00:00:00 +0000": none, "Thu, 32 Jan 2015 00:00:00 GMT": none,
		"Thu, 01 Jan 1960 00:00:00 GMT": none, "1420070400": none, "Xxx, 01 Jan 2015 00:00:00 GMT": none,
	} {
		if got := parseDate([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
