// Package limits holds the defaults and bounds that several packages share or that pages for users state, so that each
// is in one place. Those of one package are in that package.
package limits

import "time"

// The defaults of the limits block, for requests and connections of clients.
const (
	HeaderSize      = 16 << 10 // bytes of a request head
	HeaderFields    = 100      // of a request head, and of its trailer section
	HeaderTimeout   = 10 * time.Second
	BodyIdleTimeout = 60 * time.Second
	IdleTimeout     = 75 * time.Second
)

// ResponseHeaderSize is the default of response_header_size: bytes of a backend's response head.
const ResponseHeaderSize = 32 << 10

// The bounds of header_size and response_header_size, in bytes.
const (
	MinHeaderSize = 1 << 10
	MaxHeaderSize = 1 << 20
)

// The defaults of the health block.
const (
	ProbeInterval     = 2 * time.Second
	ProbeFastInterval = 500 * time.Millisecond
	ProbeTimeout      = time.Second
	ProbeRise         = 2
	ProbeFall         = 3
)

// RegexpPath is how many bytes the path of a request may have on a site with regular expressions: a match takes a time proportional to it.
const RegexpPath = 4 << 10

// ProbeBody is how many bytes of a probe's response body are searched.
const ProbeBody = 64 << 10

// RetryFloor is how many retries a second the retry budget always allows.
const RetryFloor = 3

// DNSInterval is the default of the interval of discover "dns".
const DNSInterval = 5 * time.Second

// MinSecret is the least length in bytes of a secret that others can try to guess: a token of the admin listener, the
// key of sticky cookies.
const MinSecret = 16

// The bounds of weights.
const (
	MaxConfiguredWeight = 1000  // of a backend block, and of a share of a split
	MaxWeight           = 65535 // set at run time, or by discovery: SRV records have 16 bits
)
