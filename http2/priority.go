package http2

import "lb/internal/fieldsection"

// priority is what a client says of the order of responses (RFC 9218 section 4).
type priority struct {
	urgency     uint8 // 0 is the most urgent, 7 the least
	incremental bool  // pieces of the response are of use on their own
}

const leastUrgent = 7

// defaultPriority is that of a request that says nothing.
var defaultPriority = priority{urgency: 3}

// read takes what the value of a Priority field says.
func (p *priority) read(value []byte) {
	p.urgency, p.incremental = fieldsection.ReadPriority(value, p.urgency, p.incremental)
}
