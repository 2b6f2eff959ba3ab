package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/http"

	"lb/filter"
	"lb/message"
)

// maxPasses is how often a request may pass through this process. More than once can be intended: an application may itself be a
// proxy that forwards to another site.
const maxPasses = 5

// loopMark identifies this process in the requests that it forwards, so that it recognizes them when they come back. It is a CDN-Loop
// field (RFC 8586), which other proxies must preserve. Via would do as well, but makes some servers disable compression. Only
// backends see the mark; a client that learns it can only cause its own requests to be refused.
type loopMark struct {
	name  []byte // as an item of the field
	field message.Field
}

// newLoopMark returns a unique mark.
func newLoopMark() loopMark {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	name := "lb-" + hex.EncodeToString(id[:])
	return loopMark{[]byte(name), message.NewField("CDN-Loop", name)}
}

// passes returns how often this process has forwarded a request with these fields.
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

// addMark adds the mark, unless the route removes CDN-Loop fields. Loops through such a route are not detected.
func (x *Exchange) addMark() {
	if mark := &x.handler.mark.field; !x.route.Request.Drops(mark) {
		x.worker.outgoing.Fields = append(x.worker.outgoing.Fields, *mark)
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
