package exchange

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"lb/filter"
	"lb/message"
)

// maxPasses is how often a request may pass through this process. Some do so more than once on purpose: an application
// may be a proxy that comes back to another site.
const maxPasses = 5

// loopMark is what this process puts on each request that it forwards, by which it knows it when it comes back: a
// CDN-Loop field (RFC 8586), which other proxies must pass on, beside those of others. Via would do as well, but has some
// servers not compress. Only backends see the mark. A client that learns it can have its own requests refused.
type loopMark struct {
	name  []byte // as an item of the field
	field message.Field
}

// newLoopMark makes a mark that no other process has.
func newLoopMark() loopMark {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	name := "lb-" + hex.EncodeToString(id[:])
	return loopMark{[]byte(name), message.NewField("CDN-Loop", name)}
}

// passes returns how often a request with those fields has been forwarded by this process.
func (m *loopMark) passes(fields []message.Field) (n int) {
	for i := range fields {
		if fields[i].Kind != message.CDNLoop {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var item []byte
			if item, list = message.NextListItem(list); bytes.Equal(item, m.name) {
				n++
			}
		}
	}
	return n
}

// addMark adds the mark, unless the route takes such fields out. Then loops through it are not found.
func (x *Exchange) addMark() {
	if mark := &x.handler.mark.field; !x.route.Request.Drops(mark) {
		x.outgoing.Fields = append(x.outgoing.Fields, *mark)
	}
}

var loop = &filter.Refusal{
	Status: http.StatusLoopDetected, Reason: "the request has come back to this balancer more than a few times", Rejected: "loop",
}

func noLoop(x *Exchange) *filter.Refusal {
	if x.handler != nil && x.handler.mark.passes(x.Request.Fields) >= maxPasses { // nil: see Question.By
		return loop
	}
	return nil
}
