package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"lb/message"
	"lb/netloop"
	"lb/telemetry"
)

// Mirror has Action respond to requests, and sends copies of a share of them to another pool, whose responses are dropped. A copy is an
// exchange of its own, which begins when the whole request has been received. Requests that offer another protocol are not copied.
type Mirror struct {
	o        MirrorOptions
	step     int64     // the share, of wholeShare
	samplers []sampler // by loop
	inFlight atomic.Int64
}

// MirrorOptions are the settings of a Mirror.
type MirrorOptions struct {
	Action  Action
	Route   *Route        // of the copies: Action, a Forward without retries, and what concerns requests
	Share   float64       // of the requests, from 0 to 1
	MaxBody int64         // bytes; a request with a larger body is not copied
	Limit   int64         // copies in flight, those included whose request is being received
	Timeout time.Duration // for the body of a response
	Metrics MirrorMetrics
	Loops   int // how many there are
}

// MirrorMetrics count copies by their result.
type MirrorMetrics struct {
	Responded  *telemetry.Counter // the mirror has sent a whole response, with any status
	Failed     *telemetry.Counter // it has not, or took too long
	Dropped    *telemetry.Counter // the limit of copies in flight was reached
	TooLarge   *telemetry.Counter // the body was too large
	Incomplete *telemetry.Counter // the request was not read to its end
}

// NewMirrorMetrics creates the series of a pool that gets copies.
func NewMirrorMetrics(s *telemetry.Scope, pool string) MirrorMetrics {
	result := func(name string) *telemetry.Counter {
		return s.Counter("lb_mirrored_requests_total", "pool", pool, "result", name)
	}
	return MirrorMetrics{
		Responded: result("responded"), Failed: result("failed"), Dropped: result("dropped"), TooLarge: result("too_large"),
		Incomplete: result("incomplete"),
	}
}

// MirroredField is the field by which a backend can tell a copy. Clients cannot send it on a route with a mirror.
const MirroredField = "X-Mirrored"

var mirrored = message.NewField(MirroredField, "true")

// NewMirror returns a mirror.
func NewMirror(o MirrorOptions) *Mirror {
	m := &Mirror{o: o, step: int64(o.Share * wholeShare), samplers: make([]sampler, o.Loops)}
	for i := range m.samplers {
		m.samplers[i].at = place()
		m.samplers[i].left = m.samplers[i].at
	}
	return m
}

// Serve implements Action.
func (m *Mirror) Serve(x *Exchange) {
	if x.Request.Upgrade == nil && m.samplers[x.worker.Loop.Index()].next(m.step) {
		m.tap(x)
	}
	m.o.Action.Serve(x)
}

var errMirrorSlow = errors.New("the response to a mirrored request took too long")

const wholeShare = 1 << 32

// sampler chooses requests of one loop: one at a random place among each 1/share of them. Their number is exact, and requests that come in
// a regular order are all chosen in their turn.
type sampler struct {
	left int64 // until the next one, of wholeShare
	at   int64 // the place of the next one, from 1 to wholeShare
	_    [48]byte
}

func (s *sampler) next(step int64) bool {
	s.left -= step
	if s.left > 0 || step == 0 {
		return false
	}
	at := place()
	s.left += wholeShare - s.at + at
	s.at = at
	return true
}

// place returns a place at random.
func place() int64 { return 1 + rand.Int64N(wholeShare) }

// tap has the request copied when it has been received.
func (m *Mirror) tap(x *Exchange) {
	switch {
	case x.Request.Length > m.o.MaxBody:
		m.o.Metrics.TooLarge.Inc()
		return
	case m.inFlight.Add(1) > m.o.Limit:
		m.inFlight.Add(-1)
		m.o.Metrics.Dropped.Inc()
		return
	case x.Request.Length == 0:
		m.send(x, nil, nil)
		return
	}
	x.client = &tap{Client: x.client, exchange: x, mirror: m}
}

// tap is the client of a request that is to be copied. It records the body as it is read.
type tap struct {
	Client
	exchange *Exchange
	mirror   *Mirror // nil: the copy was made, or given up
	body     []byte
}

// Read implements Client.
func (t *tap) Read() ([]byte, error) {
	piece, err := t.Client.Read()
	m := t.mirror
	if m == nil || len(piece) == 0 && err == nil {
		return piece, err
	}
	if int64(len(t.body)+len(piece)) > m.o.MaxBody {
		t.giveUp(m.o.Metrics.TooLarge)
		return piece, err
	}
	t.body = append(t.body, piece...)
	if err == io.EOF {
		t.mirror = nil
		m.send(t.exchange, t.body, t.Client.Trailers())
		t.body = nil
	}
	return piece, err
}

// giveUp ends the recording.
func (t *tap) giveUp(result *telemetry.Counter) {
	t.mirror.inFlight.Add(-1)
	result.Inc()
	t.mirror, t.body = nil, nil
}

// Abort implements Client.
func (t *tap) Abort() {
	if t.mirror != nil {
		t.giveUp(t.mirror.o.Metrics.Incomplete)
	}
	t.Client.Abort()
}

// End implements Client.
func (t *tap) End() {
	if t.mirror != nil {
		t.giveUp(t.mirror.o.Metrics.Incomplete)
	}
	t.Client.End()
}

// send makes the exchange of a copy, which begins after the current event: what the event has read from a connection is overwritten when
// others are read.
func (m *Mirror) send(x *Exchange, body []byte, trailers []message.Field) {
	c := &mirrorClient{mirror: m, body: body, exchange: x.worker.copyOf(x)}
	c.request, c.local = x.Request.Clone(), x.client.Local()
	c.request.Continue = false
	for i := range trailers {
		c.trailers = append(c.trailers, message.NewField(string(trailers[i].Name), string(trailers[i].Value)))
	}
	c.timer.Init(x.worker.Loop, c)
	y := c.exchange
	y.client, y.Request, y.route = c, c.Request(), m.o.Route
	y.clientIP, y.trusted, y.id = x.clientIP, x.trusted, bytes.Clone(x.id)
	y.findings = append(y.findings, mirrored)
	y.holdState()
	x.worker.Loop.Later(c)
}

// copyOf takes an exchange for a request like that of x, which the balancer itself makes. Its client, Request and id are not set.
func (w *Worker) copyOf(x *Exchange) *Exchange {
	y := w.take(x.handler)
	y.internal = true
	y.state, y.site, y.rule, y.route, y.in, y.start = x.state, x.site, x.rule, x.route, x.in, x.start
	y.groups = x.groups
	y.path, y.query = bytes.Clone(x.path), bytes.Clone(x.query)
	y.hostBuf = append(y.hostBuf[:0], x.host...)
	y.cleanBuf = append(y.cleanBuf[:0], x.clean...)
	y.host, y.clean = y.hostBuf, y.cleanBuf
	y.findings = append(y.findings, x.findings...)
	return y
}

// mirrorClient is the client of a copy. It drops the response, and disconnects if that takes too long.
type mirrorClient struct {
	internalClient
	mirror   *Mirror
	exchange *Exchange
	body     []byte // not read yet
	read     int64
	trailers []message.Field
	timer    netloop.Timer // while the body of the response is received
	failed   bool
}

// Run begins the exchange.
func (c *mirrorClient) Run() {
	defer c.exchange.recover()
	c.mirror.o.Route.Action.Serve(c.exchange)
}

// Expired ends the exchange.
func (c *mirrorClient) Expired(*netloop.Timer) {
	c.failed = true
	c.exchange.Disconnected(errMirrorSlow)
}

// These implement Client as far as internalClient does not.

func (c *mirrorClient) Read() ([]byte, error) {
	body := c.body
	c.body, c.read = nil, c.read+int64(len(body))
	return body, io.EOF
}

func (c *mirrorClient) Trailers() []message.Field { return c.trailers }
func (c *mirrorClient) BodyPending() bool         { return len(c.body) > 0 }
func (c *mirrorClient) BodyBytes() int64          { return c.read }

func (c *mirrorClient) Respond(_ *message.Response, _ []byte, _, last bool) bool {
	c.begun = true
	c.failed = c.exchange.reason != "" // then it is the balancer's own
	if !last {
		c.timer.Reset(c.mirror.o.Timeout)
	}
	return true
}

func (c *mirrorClient) Abort() { c.failed = true }

func (c *mirrorClient) End() {
	c.timer.Stop()
	c.mirror.inFlight.Add(-1)
	if c.failed || !c.begun {
		c.mirror.o.Metrics.Failed.Inc()
		return
	}
	c.mirror.o.Metrics.Responded.Inc()
}
