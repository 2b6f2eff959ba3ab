package cache

import (
	"bytes"
	"net/http"
	"time"

	"lb/message"
)

// Recording is a response that is being received, to be stored when it is complete.
type Recording struct {
	route    *Route
	entry    *Entry
	key      []byte   // without what depends on Vary
	names    []string // in Vary
	variant  []byte
	limit    int64 // of the body, in bytes
	length   int64 // announced; -1: unknown
	reserved int64
	purges   uint64
	epoch    uint32
}

// Record begins to record the response to a request that was forwarded, or returns nil if it may not be stored. sent is when the request
// was sent to the backend, in Unix nanoseconds. If the response shows that a stored one does not hold any more, that is removed.
func (r *Route) Record(l *Lookup, q *Request, head *message.Response, sent int64) *Recording {
	if l.Outcome == Bypass || l.Outcome == Invalidate {
		return nil
	}
	res := read(head)
	e, ok := r.entry(&l.asked, q, head, &res, sent)
	if !ok {
		r.outdate(l, head.Status)
		return nil
	}
	if head.Length > r.MaxObject {
		r.outdate(l, head.Status)
		return nil
	}
	rec := &Recording{route: r, entry: e, key: bytes.Clone(l.Key[:l.primary]), names: res.vary, limit: r.MaxObject, length: head.Length,
		purges: l.purges, epoch: l.epoch}
	if rec.variant = appendVariant(nil, res.vary, q); len(rec.variant) > maxKey {
		return nil
	}
	if head.Length > 0 && !rec.reserve(head.Length) {
		rec.Abort()
		return nil
	}
	e.setFields(head.Fields, time.Unix(0, q.Now).UTC().Format(http.TimeFormat), max(head.Length, 0))
	if head.Length > 0 {
		e.Body = make([]byte, 0, head.Length)
	}
	return rec
}

// entry makes an entry without fields and body. ok is false if the response may not be stored (RFC 9111 section 3).
func (r *Route) entry(a *asked, q *Request, head *message.Response, res *answered, sent int64) (e *Entry, ok bool) {
	c := &res.control
	known := understood(head.Status)
	switch {
	case a.method != methodGet, head.Status < 200, head.Status > 599, head.Status == 206, head.Status == 304, particular(head.Status):
		return nil, false
	case a.noStore, res.setCookie, res.varyAll, c.private, c.mustUnderstand && !known, c.noStore && !c.mustUnderstand:
		return nil, false
	case !r.sees(res.vary):
		return nil, false
	}
	shared := c.public || c.sharedMaxAge != none || c.mustRevalidate
	if a.authorized && !shared {
		return nil, false
	}
	lifetime, explicit := res.lifetime(q.Now, r.TTL)
	if !explicit && !c.noCache && (!lasting(head.Status) || lifetime == 0 || a.cookie && !r.keyed("cookie", res.vary)) {
		return nil, false
	}
	e = &Entry{cache: r.Cache, Status: head.Status, received: q.Now, initialAge: res.initialAge(sent, q.Now), lifetime: lifetime, shared: shared,
		revalidate: c.noCache, tags: res.tags, target: string(q.Path) + string(q.Query)}
	if r.Key.host {
		e.host = string(appendHost(nil, q.Head.Authority, q.Secure))
	}
	if c.noCache {
		e.lifetime = 0
	}
	e.strict = c.mustRevalidate || c.proxyRevalidate || c.noCache
	if !e.strict {
		stale := func(said, otherwise int64) int64 {
			if said != none {
				return said
			}
			if c.sharedMaxAge != none { // which forbids to use it stale, unless the response says so too (RFC 9111 section 5.2.2.10)
				return 0
			}
			return otherwise
		}
		e.staleWhile, e.staleIfError = stale(c.staleWhileRevalidate, r.StaleWhileRevalidate), stale(c.staleIfError, r.StaleIfError)
		e.strict = c.sharedMaxAge != none && e.staleWhile == 0 && e.staleIfError == 0
	}
	generated := res.date
	if generated == none {
		generated = q.Now / second
	}
	if date := parseDate(res.modified); date != none {
		e.strongDate = date < generated
	}
	useful := e.Left(q.Now) > 0 || e.staleWhile > 0 || e.staleIfError > 0 || len(res.etag) > 0 || len(res.modified) > 0
	return e, useful
}

// sees reports whether the values of the fields in Vary are those that the backend got: lb itself sets some.
func (r *Route) sees(vary []string) bool {
	for _, name := range vary {
		switch kind := message.KindOf([]byte(name)); kind {
		case message.XForwardedProto: // the scheme is in the key
		case message.Host, message.XForwardedHost:
			if !r.Key.host {
				return false
			}
		case message.XForwardedFor, message.XForwarded, message.XRealIP, message.Forwarded, message.ClientCert, message.XRequestID, message.Twin,
			message.CDNLoop:
			return false
		}
	}
	return true
}

// keyed reports whether responses are kept apart by a request field.
func (r *Route) keyed(name string, vary []string) bool {
	for _, v := range vary {
		if v == name {
			return true
		}
	}
	for i := range r.Key.parts {
		if p := &r.Key.parts[i]; p.kind == keyHeader && p.name == name || p.kind == keyCookie && name == "cookie" {
			return true // which cookies matter was decided
		}
	}
	return false
}

// outdate removes the response that another one has replaced and that may not be stored. A failure replaces none.
func (r *Route) outdate(l *Lookup, status int) {
	if l.Entry != nil && status < 500 && status != 206 && status != 304 && l.asked.method == methodGet {
		r.section.Delete(string(l.Key))
	}
}

// share is the part of the budget that responses may use while they are received.
const share = 4

// reserve claims memory for n bytes of the body in all.
func (rec *Recording) reserve(n int64) bool {
	c := rec.route.Cache
	more := n - rec.reserved
	if c.receiving.Add(more) > c.section.Memory()/share {
		c.receiving.Add(-more)
		return false
	}
	rec.reserved = n
	return true
}

// Write adds a piece of the body. If the body becomes too large, Write returns false, and the recording has ended.
func (rec *Recording) Write(piece []byte) bool {
	e := rec.entry
	size := int64(len(e.Body) + len(piece))
	if size > rec.limit || size > rec.reserved && !rec.reserve(min(max(2*size, 4<<10), rec.limit)) {
		rec.Abort()
		return false
	}
	e.Body = append(e.Body, piece...)
	return true
}

// Body returns what has been recorded. It is valid until the next call of Write.
func (rec *Recording) Body() []byte { return rec.entry.Body }

// Abort ends a recording without storing it.
func (rec *Recording) Abort() {
	rec.route.receiving.Add(-rec.reserved)
	rec.reserved = 0
}

// Commit stores the response, which is complete. It is not stored if a purge or an unsafe request has invalidated it meanwhile.
func (rec *Recording) Commit() {
	rec.Abort()
	e := rec.entry
	if waste := cap(e.Body) - len(e.Body); waste > len(e.Body)/8+64 {
		e.Body = bytes.Clone(e.Body)
	}
	if max(rec.length, 0) != int64(len(e.Body)) {
		e.correctLength()
	}
	rec.route.store(rec, e)
}

// correctLength sets Content-Length to the length of the body, which was not known before.
func (e *Entry) correctLength() {
	if n := len(e.fields); n > 0 && e.fields[n-1].Kind == message.ContentLengthField {
		e.fields = message.Lines(appendLength(nil, int64(len(e.Body))), e.fields[:n-1])
	}
}

// store stores an entry by its key, and by that of its variant.
func (r *Route) store(rec *Recording, e *Entry) {
	key := rec.key
	if r.invalidated(rec) {
		return
	}
	if len(rec.names) > 0 {
		x, ok := r.section.Get(key).(*index)
		if !ok || !equal(x.names, rec.names) {
			x = &index{host: e.host, target: e.target, names: rec.names, generation: r.indexes.Add(1)}
			r.section.Put(string(key), x, x.size())
		}
		key = append(appendGeneration(bytes.Clone(key), x.generation), rec.variant...)
	}
	e.key = string(key)
	r.section.Put(e.key, e, e.size())
	if r.invalidated(rec) { // between the check above and Put
		r.section.Delete(e.key)
	}
}

func (r *Route) invalidated(rec *Recording) bool {
	return r.purges.Load() != rec.purges || r.Cache.epoch(rec.key).Load() != rec.epoch
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Confirm updates the entry of a lookup after the backend has confirmed it with a 304 (RFC 9111 section 4.3.4), and returns the new one.
// If the 304 says that it may not be stored, or is about another response, it is removed.
func (r *Route) Confirm(l *Lookup, q *Request, head *message.Response, sent int64) *Entry {
	old := l.Entry
	now := message.Response{Status: old.Status, Fields: old.fields, Length: int64(len(old.Body))}
	// RFC 9111 section 4.3.4: with another strong validator it is about another response.
	tag := message.Named(head.Fields, "etag")
	same := !strong(tag) || !strong(old.etag) || bytes.Equal(tag, old.etag)
	if same {
		now.Fields = merged(old.fields, head.Fields)
	}
	res := read(&now)
	a := l.asked
	a.method = methodGet // HEAD may confirm it too
	e, ok := r.entry(&a, q, &now, &res, sent)
	if ok = ok && same; !ok {
		r.section.Delete(old.key)
		e = &Entry{Status: old.Status, received: q.Now, initialAge: res.initialAge(sent, q.Now), strict: true, target: old.target, host: old.host}
	}
	e.Body, e.strongDate = old.Body, old.strongDate
	for c := range e.encoded {
		if body := old.encoded[c].body.Load(); body != nil {
			e.encoded[c].body.Store(body)
			e.encoded[c].claimed.Store(true)
		}
	}
	e.setFields(now.Fields, time.Unix(0, q.Now).UTC().Format(http.TimeFormat), now.Length)
	if !ok {
		return e
	}
	rec := Recording{route: r, entry: e, key: l.Key[:l.primary], names: res.vary, purges: l.purges, epoch: l.epoch}
	rec.variant = appendVariant(nil, res.vary, q)
	r.store(&rec, e)
	return e
}

// Invalidated removes the stored responses to the URL of a request, which may have changed what they describe (RFC 9111 section 4.4).
func (r *Route) Invalidated(l *Lookup) {
	key := l.Key[:l.primary]
	r.Cache.epoch(key).Add(1)
	r.section.Delete(string(key)) // if it is an index, its responses are not found any more
}

// lonely is for how many nanoseconds requests do not wait for a response that turned out not to be storable.
const lonely = 10 * second

// Alone records that the response may not be stored, so that requests for it do not wait for one another.
func (r *Route) Alone(l *Lookup, now int64) {
	if _, ok := r.section.Get(l.Key).(*lone); !ok && r.section.Get(l.Key) != nil {
		return
	}
	r.section.Put(string(l.Key), &lone{until: now + lonely}, int64(fieldSize))
}
