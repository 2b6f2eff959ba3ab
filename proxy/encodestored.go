package proxy

import (
	"lb/cache"
	"lb/filter"
	"lb/internal/coding"
	"lb/message"
)

// compressStored sends a stored response compressed, if the client accepts that. The first such response is compressed whole before it is
// sent, and what was made is stored for those that follow.
func (x *Exchange) compressStored(e *cache.Entry, a cache.Answer) {
	c, r := x.route.Compress, &x.response
	chosen := c.Choose(x, r)
	if chosen == coding.Identity {
		x.finishStored(a)
		return
	}
	if body := e.Encoded(chosen); body != nil {
		filter.Encoded(r, chosen)
		r.SetLength(int64(len(body)))
		a.Body = body
		x.finishStored(a)
		return
	}
	if x.Head() {
		filter.Encoded(r, chosen)
		x.finishStored(a)
		return
	}
	if x.encoder = c.Encoders.Get(chosen, c.Level); x.encoder == nil {
		x.finishStored(a)
		return
	}
	filter.Encoded(r, chosen)
	r.AddBytes(message.NameXRequestID, x.id)
	if x.caching == nil {
		x.caching = &caching{}
	}
	x.phase = phaseRelay
	x.wait(0)
	if x.caching.encoding = e.Encode(chosen); x.caching.encoding != nil {
		x.encodeWhole()
		return
	}
	x.caching.ahead = &recorded{body: a.Body, done: true}
	x.blocked = !x.client.Respond(r, nil, false, false)
	x.relayRecorded()
}

// encodeWhole compresses a stored response piece by piece, so that other connections get their turns, and then sends it.
func (x *Exchange) encodeWhole() {
	n := x.caching.encoding
	if !n.Step(x.encoder) {
		x.worker.Loop.Later((*responseTask)(x))
		return
	}
	x.releaseEncoder()
	body := n.Store()
	n.End()
	x.caching.encoding = nil
	x.response.SetLength(int64(len(body)))
	x.respondWhole(body, true)
}
