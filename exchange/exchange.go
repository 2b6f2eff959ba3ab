package exchange

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"lb/internal/answer"
	"lb/internal/poison"
	"lb/message"
	"lb/netloop"
	"lb/pool"
	"lb/route"
	"lb/telemetry"
	"lb/transport"
	"lb/transport/onloop"
)

// Exchange is one request and its response: a state machine on a loop, see machine.go. It is reused; nothing may keep it,
// or a slice that it hands out, beyond its end.
type Exchange struct {
	handler *Handler
	worker  *Worker
	state   *State
	client  Client
	in      Inbound
	start   time.Time

	phase       phase
	until       time.Time // the end of the present wait; zero: it has none
	timer       netloop.Timer
	gone        error  // why the client is gone; nil: it is not
	then        func() // what follows Elsewhere
	unwanted    func() // what follows it if the client has gone meanwhile; may be nil
	grantedFunc func()

	Request *message.Request
	path    []byte // of the target, as written
	query   []byte // with its "?"
	clean   []byte // path as rules and files are matched by
	host    []byte // name alone, in lower case

	trusted  bool       // the peer is a trusted proxy
	clientIP netip.Addr // what limits, log and forwarded fields mean
	id       []byte     // the request id

	explained *Explained // set: it is only explained, and has no client

	site  *Site
	rule  *route.Rule[*Route]
	route *Route

	// The response.
	Extra     []message.Field // to add to it
	response  message.Response
	status    int
	reason    string // why the balancer responded itself, or cut the response
	cause     string // follows reason in the log
	parts     []Part
	partsDone func()

	// The backend's side.
	forward    *Forward
	place      pool.Wait
	backend    *pool.Backend // reserved; nil: none
	conn       *onloop.Conn  // nil: none
	dialErr    *transport.Error
	body       requestBody
	holds      bool           // the body is read as a whole before a backend is asked
	sent       int64          // bytes of the body that were sent to the backend
	uploaded   bool           // all of it
	uploadOver bool           // no more of it will be
	flushed    bool           // the backend's socket has taken all that was sent
	blocked    bool           // the client's has not
	spools     bool           // the response may be taken ahead of the client
	spool      *responseSpool // then: what has been; nil: nothing yet
	fresh      bool           // no kept connection is used any more: one died under the request
	informed   bool           // a 1xx of a backend has gone to the client
	began      time.Time      // the try
	waiting    pool.Waiting
	failure    *transport.Error // of the last try, while the next one is waited for
	failed     pool.Outcome     // the same
	key        uint64           // the hash of what the pool's hash_key names
	tried      []*pool.Backend  // a backend for each try
	unmet      int              // of the tries, those to which no connection could be made
	upstream   time.Duration
	poolName   string
	tunnel     *tunnel

	outgoing message.Request // towards the backend
	pathBuf  []byte          // other readings of the path, and a target that the route has rewritten
	scratch  []byte
	hostBuf  []byte
	cleanBuf []byte
	idBuf    [32]byte
}

// statusClientGone is counted for a request whose client left before there was a response;
// it is nginx's number for that and is never sent.
const statusClientGone = 499

// Buffers that grew beyond this are not kept for the next exchange.
const keepBuffer = 64 << 10

func (x *Exchange) begin(s *State, client Client, in Inbound) {
	x.state, x.client, x.in = s, client, in
	x.start = x.worker.Loop.Now()
	x.Request = client.Request()
	x.path, x.query = route.SplitTarget(x.Request.Target)
	x.host = route.CleanHost(x.hostBuf[:0], x.Request.Authority)
	x.hostBuf = x.host
	x.identify(in.Peer.Addr().Unmap())
	x.enter(s.NoSite)
}

// Moved takes the spans of the request that the exchange has from where they lie now.
func (x *Exchange) Moved() {
	path := x.path
	x.path, x.query = route.SplitTarget(x.Request.Target)
	if n := len(x.clean); n > 0 && len(path) > 0 { // it may be a span of the path
		if at := cap(path) - cap(x.clean); at >= 0 && at+n <= len(path) && &path[at] == &x.clean[0] {
			x.clean = x.path[at : at+n]
		}
	}
	if len(x.id) > 0 && &x.id[0] != &x.idBuf[0] {
		x.id = message.Lookup(x.Request.Fields, message.XRequestID)
	}
}

// enter counts the exchange for a site from now on.
func (x *Exchange) enter(site *Site) {
	if x.site != nil {
		x.site.Metrics.InFlight.Add(-1)
	}
	x.site = site
	site.Metrics.InFlight.Add(1)
}

// identify finds out who asks, and gives the request its id. The peer is not valid on a Unix socket.
func (x *Exchange) identify(peer netip.Addr) {
	x.clientIP = peer
	x.trusted = peer.IsValid() && route.Contains(x.state.TrustedProxies, peer)
	x.id = nil
	if x.trusted {
		x.clientIP = forwardedClient(x.Request.Fields, x.state.TrustedProxies, peer)
		if id := message.Lookup(x.Request.Fields, message.XRequestID); answer.SaneID(id) {
			x.id = id
			return
		}
	}
	const digits = "0123456789abcdef"
	for i := 0; i < len(x.idBuf); i += 16 {
		n := rand.Uint64()
		for j := range 16 {
			x.idBuf[i+j] = digits[n&15]
			n >>= 4
		}
	}
	x.id = x.idBuf[:]
}

// forwardedClient walks the X-Forwarded-For fields from the nearest proxy back and returns the
// first address that no trusted proxy has, which is the last one that can be believed.
func forwardedClient(fields []message.Field, trusted []netip.Prefix, peer netip.Addr) netip.Addr {
	client := peer
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].Kind != message.XForwardedFor {
			continue
		}
		for list := fields[i].Value; len(list) > 0; {
			var item []byte
			item, list = lastListItem(list)
			addr, ok := parseAddr(item)
			if !ok {
				return client
			}
			client = addr
			if !route.Contains(trusted, addr) {
				return client
			}
		}
	}
	return client
}

func lastListItem(list []byte) (item, rest []byte) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == ',' {
			return message.TrimSpace(list[i+1:]), list[:i]
		}
	}
	return message.TrimSpace(list), nil
}

// parseAddr reads an address with or without a port.
func parseAddr(b []byte) (netip.Addr, bool) {
	s := string(b)
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap(), true
	}
	return netip.Addr{}, false
}

// ClientIP is the address that limits, log and forwarded fields mean; invalid on a unix socket.
func (x *Exchange) ClientIP() netip.Addr { return x.clientIP }

// Path returns the path that rules are matched by; Query the query as written, with its "?".
func (x *Exchange) Path() []byte { return x.clean }

// Query returns the query as the client wrote it, with its "?"; empty if there is none.
func (x *Exchange) Query() []byte { return x.query }

// Lookup returns the value of the request's first field of that kind.
func (x *Exchange) Lookup(kind message.Kind) []byte { return message.Lookup(x.Request.Fields, kind) }

// tries returns how many backends have been asked, those without a connection included.
func (x *Exchange) tries() int { return len(x.tried) }

// retries returns how many tries there were after the first that may have come to a backend.
func (x *Exchange) retries() int { return len(x.tried) - x.unmet - 1 }

// Head reports whether the response must not have a body because the method is HEAD.
func (x *Exchange) Head() bool { return x.Request.IsHead() }

// end counts and logs the exchange, and makes it ready for the next.
func (x *Exchange) end() {
	if x.gone != nil && x.status == 0 {
		x.status = statusClientGone
		if x.reason == "" {
			x.reason = "the client went away"
		}
	}
	duration := time.Since(x.start)
	m := &x.site.Metrics
	m.InFlight.Add(-1)
	m.Requests.Inc(x.status)
	m.Duration.Observe(duration)
	if n := x.client.BodyBytes(); n > 0 {
		m.BytesIn.AddInt64(n)
	}
	m.BytesOut.AddInt64(x.client.Sent())
	if x.state.AccessLog != nil {
		x.log(duration)
	}
	x.freeBody()
	if x.spool != nil {
		x.spool.spool.close()
	}
	if x.partsDone != nil {
		x.partsDone()
	}
	client, w := x.client, x.worker
	x.reset()
	w.give(x)
	client.End()
}

// abandon ends an exchange whose client has gone.
func (x *Exchange) abandon() {
	if x.status == 0 || !x.client.Begun() {
		x.status = statusClientGone
	}
	switch {
	case x.reason != "":
	case x.client.Begun():
		x.reason = "cannot send the answer: " + x.gone.Error()
	default:
		x.reason = errClientLeft.Error()
	}
	x.end()
}

var errClientLeft = errors.New("the client went away before the answer was complete")

// leaveBackend ends an exchange whose client has gone while a backend worked for it.
func (x *Exchange) leaveBackend() {
	if x.backend != nil {
		x.backend.Settle(x.waiting, 0)
		x.releaseConn(false)
		x.backend.Report(pool.Aborted)
		x.releaseBackend()
	}
	x.abandon()
}

func (x *Exchange) log(duration time.Duration) {
	e := x.handler.entries.Get().(*telemetry.Entry)
	*e = telemetry.Entry{
		Time: x.start, Client: x.clientIP, Site: x.site.Name, Pool: x.poolName,
		Method: x.Request.Method, Host: x.Request.Authority, Target: x.Request.Target, Protocol: x.Request.Version,
		Status: x.status, BytesIn: x.client.BodyBytes(), BytesOut: x.client.Sent(),
		Duration: duration, Upstream: x.upstream, Tries: x.tries(), RequestID: x.id,
		Referer: x.Lookup(message.Referer), UserAgent: x.Lookup(message.UserAgent),
		TLS: x.in.TLSVersion, Error: x.reason + x.cause,
	}
	if x.rule != nil {
		e.Route = x.rule.Pattern
	}
	if n := len(x.tried); n > 0 {
		e.Backend = x.tried[n-1].Address()
	}
	x.state.AccessLog.Write(e)
	*e = telemetry.Entry{} // it holds what is the exchange's
	x.handler.entries.Put(e)
}

func (x *Exchange) reset() {
	clear(x.outgoing.Fields)
	clear(x.response.Fields)
	clear(x.Extra)
	clear(x.tried)
	x.outgoing.Reset()
	x.response.Reset(0)
	*x = Exchange{
		handler: x.handler, worker: x.worker, timer: x.timer, grantedFunc: x.grantedFunc, tried: x.tried[:0], Extra: x.Extra[:0],
		outgoing: x.outgoing, response: x.response, pathBuf: kept(x.pathBuf), scratch: kept(x.scratch), hostBuf: kept(x.hostBuf), cleanBuf: kept(x.cleanBuf),
	}
}

// kept is what of a buffer the next exchange may use.
func kept(b []byte) []byte {
	poison.Fill(b)
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}
