package proxy

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"

	"lb/cache"
	"lb/filter"
	"lb/internal/errorpage"
	"lb/message"
	"lb/pool"
	"lb/transport"
)

// Cached responds from stored responses where it may, and has Action, a Forward or a Split, forward the other requests.
type Cached struct {
	Route  *cache.Route
	Action Action
}

// caching is what an exchange needs of the cache while its request is forwarded.
type caching struct {
	by         *Cached
	lookup     cache.Lookup
	flight     *cache.Flight    // that it leads; nil: none
	recording  *cache.Recording // nil: the response is not being stored
	wait       *flightWait      // while it waits for another exchange
	waits      int              // how often it has waited
	stored     bool             // the response is stored, or is going to be
	counted    bool
	ahead      *recorded       // what the client has not read yet of the recording; nil: nothing
	encoding   *cache.Encoding // of a stored response that is being compressed, to be stored so; nil: none
	confirming bool            // the request to the backend has the validators of lookup.Entry
}

var (
	nameAge         = message.NewName("Age")
	nameCacheStatus = message.NewName("Cache-Status")
	nameRange       = message.NewName("Content-Range")
)

// Serve implements Action.
func (a *Cached) Serve(x *Exchange) {
	q := x.cacheRequest(x.start)
	l := a.Route.Look(&q, x.scratch[:0])
	x.scratch = l.Key
	switch l.Outcome {
	case cache.Hit:
		a.Route.Count(hitOrStale(&l, q.Now))
		x.respondStored(l.Entry, q.Now)
		return
	case cache.Refresh:
		a.refresh(x, &l)
		a.Route.Count(cache.CountStale)
		x.respondStored(l.Entry, q.Now)
		return
	case cache.NotCached:
		a.Route.Count(cache.CountMiss)
		x.refuseUncached()
		return
	}
	a.forward(x, &l, 0)
}

func hitOrStale(l *cache.Lookup, now int64) cache.Result {
	if l.Entry.Left(now) <= 0 {
		return cache.CountStale
	}
	return cache.CountHit
}

// cacheRequest returns the request as the cache sees it at that time.
func (x *Exchange) cacheRequest(now time.Time) cache.Request {
	return cache.Request{Head: x.Request, Path: x.path, Query: x.query, Secure: x.in.Secure, Trusted: x.trusted,
		Certified: len(x.in.ClientCert) > 0, Found: x.findings, Now: now.UnixNano()}
}

// forward has the request forwarded, at once or after it has waited for the response to the same request of another client.
func (a *Cached) forward(x *Exchange, l *cache.Lookup, waits int) {
	c := &caching{by: a, lookup: *l, waits: waits}
	c.lookup.Key = bytes.Clone(l.Key)
	x.caching = c
	if waits < mostWaits {
		w := &flightWait{x: x}
		lead, wait, _ := a.Route.Join(&c.lookup, func() { x.worker.Loop.Post(w) })
		if c.flight = lead; wait != nil {
			c.wait, w.waiter = w, wait
			x.holdState()
			x.phase = phaseFlight
			x.wait(longestWait)
			return
		}
	}
	c.confirming = l.Outcome == cache.Validate
	a.Action.Serve(x)
}

// refuseUncached responds to a request that wants a stored response and no other (RFC 9111 section 5.2.1.7).
func (x *Exchange) refuseUncached() {
	x.reason = "only-if-cached: no response is stored that may be used"
	body, media := errorpage.Body(message.List(x.Request.Fields, message.Accept), http.StatusGatewayTimeout, x.reason, x.id)
	x.own(http.StatusGatewayTimeout, media, body)
}

// respondStored responds with a stored response. The body is not copied.
func (x *Exchange) respondStored(e *cache.Entry, now int64) {
	x.scratch = e.AppendHit(x.scratch[:0], now)
	x.sendStored(e, now)
}

// sendStored sends a stored response. The value of Cache-Status is in x.scratch.
func (x *Exchange) sendStored(e *cache.Entry, now int64) {
	a := e.Answer(x.Request)
	x.client.DropArrived()
	x.status = a.Status
	r := &x.response
	r.Reset(a.Status)
	r.Fields = append(r.Fields, a.Fields...)
	if a.Part && a.Status == http.StatusRequestedRangeNotSatisfiable {
		r.Fields = append(r.Fields, dateAt(x.worker.Loop.Now()))
	}
	r.AddBytes(nameCacheStatus, x.scratch)
	r.AddBytes(nameAge, strconv.AppendInt(x.scratch[:0], e.Age(now), 10))
	kind := filter.Usual
	switch {
	case a.Several != nil:
		r.Fields = withType(r.Fields, a.Type)
		kind = filter.Typed
	case a.Part:
		r.AddBytes(nameRange, a.AppendContentRange(x.scratch[:0]))
	}
	if a.Part {
		r.SetLength(a.Length)
	}
	r.Length = a.Length
	x.filterResponse(kind)
	r.Fields = append(r.Fields, x.Extra...)
	if x.route.Compress != nil {
		x.compressStored(e, a)
		return
	}
	x.finishStored(a)
}

// finishStored sends a response to which the fields of filters have been added.
func (x *Exchange) finishStored(a cache.Answer) {
	x.response.AddBytes(message.NameXRequestID, x.id)
	if a.Several == nil {
		x.respond(a.Body)
		return
	}
	parts := make([]Part, len(a.Several))
	for i, b := range a.Several {
		parts[i].Bytes = b
	}
	x.startParts(parts)
}

// withType replaces the Content-Type, in place.
func withType(fields []message.Field, media string) []message.Field {
	fields = slices.DeleteFunc(fields, func(f message.Field) bool { return message.EqualFold(f.Name, "content-type") })
	return append(fields, message.NewField("Content-Type", media))
}

// cacheResponded handles the head of a backend's response to a request of a route with a cache. It reports whether the client gets another
// response than that.
func (x *Exchange) cacheResponded() bool {
	c, head := x.caching, x.conn.Head()
	l := &c.lookup
	switch {
	case l.Outcome == cache.Bypass:
		c.count(cache.CountBypass)
		return false
	case l.Outcome == cache.Invalidate:
		if head.Status >= 200 && head.Status < 400 {
			c.by.Route.Invalidated(l)
		}
		c.count(cache.CountBypass)
		return false
	case c.confirming && head.Status == http.StatusNotModified:
		x.confirmed()
		return true
	case unavailable(head.Status) && x.failedWithEntry():
		status := head.Status
		x.backend.Report(pool.Status)
		x.releaseConn(false)
		x.releaseBackend()
		x.useStale(status)
		return true
	}
	c.count(cache.CountMiss)
	q := x.cacheRequest(x.worker.Loop.Now())
	if c.recording = c.by.Route.Record(l, &q, head, x.began.UnixNano()); c.recording == nil {
		x.endFlight(true)
	}
	c.stored = c.recording != nil
	return false
}

// unavailable reports whether a status is an error for which a stale response may be used (RFC 5861 section 4).
func unavailable(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}

func (c *caching) count(r cache.Result) {
	if !c.counted {
		c.counted = true
		c.by.Route.Count(r)
	}
}

// confirmed responds with the stored response that the backend has confirmed.
func (x *Exchange) confirmed() {
	c, head := x.caching, x.conn.Head()
	now := x.worker.Loop.Now()
	q := x.cacheRequest(now)
	e := c.by.Route.Confirm(&c.lookup, &q, head, x.began.UnixNano())
	for i := range head.Fields {
		if f := &head.Fields[i]; message.EqualFold(f.Name, "set-cookie") && !f.Hop { // for this client alone
			x.Extra = append(x.Extra, message.NewField("Set-Cookie", string(f.Value)))
		}
	}
	_, _ = x.conn.ReadBody() // a 304 has none
	x.status = http.StatusNotModified
	x.finishBackend(pool.Success)
	x.endFlight(false)
	c.count(cache.CountRevalidated)
	x.scratch = cache.AppendForwarded(x.scratch[:0], c.lookup.Why, http.StatusNotModified, false)
	x.sendStored(e, now.UnixNano())
}

// failedWithEntry records for a stale response that the backend has failed. It reports whether that response may be used instead.
func (x *Exchange) failedWithEntry() bool {
	c := x.caching
	if c == nil || c.lookup.Entry == nil {
		return false
	}
	now := x.worker.Loop.Now().UnixNano()
	c.lookup.Entry.Failed(now)
	return c.lookup.Entry.UsableOnError(now) && !x.client.Begun() && !x.informed
}

// useStale responds with a stale response, after the backend has failed and has been released. status is that of its response, 0 if there
// was none.
func (x *Exchange) useStale(status int) {
	c := x.caching
	now := x.worker.Loop.Now().UnixNano()
	x.endFlight(false)
	c.count(cache.CountStale)
	x.cause = ""
	x.scratch = append(cache.AppendForwarded(x.scratch[:0], c.lookup.Why, status, false), "; detail=stale-if-error"...)
	x.sendStored(c.lookup.Entry, now)
}

// cachePiece records a piece of the backend's response body; last says that it is the last one.
func (x *Exchange) cachePiece(piece []byte, last bool) {
	c := x.caching
	rec := c.recording
	if rec == nil {
		return
	}
	if body := rec.Body(); !rec.Write(piece) {
		x.endRecording(body)
		c.stored = false
		if c.ahead != nil {
			c.ahead.more = append([]byte(nil), piece...)
		}
		x.endFlight(true)
		return
	}
	if !last {
		return
	}
	if c.stored = len(x.conn.Trailer()) == 0; c.stored {
		rec.Commit()
	}
	x.endRecording(rec.Body())
	x.endFlight(!c.stored)
}

// endFlight ends the flight that the exchange leads, if there is one. alone says that the response cannot be stored.
func (x *Exchange) endFlight(alone bool) {
	c := x.caching
	f := c.flight
	if f == nil {
		return
	}
	c.flight = nil
	if alone && f.Waited() {
		c.by.Route.Alone(&c.lookup, x.worker.Loop.Now().UnixNano())
	}
	f.End()
}

// endCaching releases what is left at the end of the exchange.
func (x *Exchange) endCaching() {
	c := x.caching
	if c.recording != nil {
		x.endRecording(nil)
	}
	if c.encoding != nil {
		c.encoding.End()
	}
	x.endFlight(false)
	x.leaveFlight()
}

// replacesConditions reports whether the request to the backend gets the validators of a stored response in place of the client's
// conditions.
func (x *Exchange) replacesConditions() bool { return x.caching != nil && x.caching.confirming }

// isCondition reports whether a field is one of those conditions, or asks for a part of the response.
func isCondition(kind message.Kind) bool {
	return kind == message.IfNoneMatch || kind == message.IfModifiedSince || kind == message.Range || kind == message.IfRange
}

// addConditions adds the validators.
func (x *Exchange) addConditions() {
	e := x.caching.lookup.Entry
	if tag := e.ETag(); tag != nil {
		x.worker.outgoing.AddBytes(nameIfNoneMatch, tag)
	}
	if date := e.LastModified(); date != nil {
		x.worker.outgoing.AddBytes(nameIfModifiedSince, date)
	}
}

var (
	nameIfNoneMatch     = message.NewName("If-None-Match")
	nameIfModifiedSince = message.NewName("If-Modified-Since")
)

// addCacheStatus adds Cache-Status to a response that is relayed.
func (x *Exchange) addCacheStatus() {
	c := x.caching
	x.scratch = cache.AppendForwarded(x.scratch[:0], c.lookup.Why, 0, c.stored)
	x.response.AddBytes(nameCacheStatus, x.scratch)
}

// staleOnFailure responds with a stale response if the route may use one after that failure.
func (x *Exchange) staleOnFailure(failure *transport.Error) bool {
	if !x.failedWithEntry() {
		return false
	}
	status := 0
	if failure != nil && failure.Cause == transport.TimedOut {
		status = http.StatusGatewayTimeout
	}
	x.useStale(status)
	return true
}
