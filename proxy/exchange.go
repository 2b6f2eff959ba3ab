package proxy

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"lb/internal/answer"
	"lb/internal/poison"
	"lb/message"
	"lb/pool"
	"lb/route"
	"lb/telemetry"
)

// Exchange is one request and its response. It is reused; nothing may keep it, or a slice
// that it hands out, after Serve has returned.
type Exchange struct {
	handler *Handler
	state   *State
	client  Client
	in      Inbound
	start   time.Time

	Request *message.Request
	path    []byte // of the target, as written
	query   []byte // with its "?"
	clean   []byte // path as rules and files are matched by
	host    []byte // name alone, in lower case

	trusted  bool       // the peer is a trusted proxy
	clientIP netip.Addr // whom limits, log and forwarded fields mean
	id       []byte     // the request id

	explained *Explained // set: it is only explained, and has no client

	site  *Site
	rule  *route.Rule[*Route]
	route *Route

	// The response.
	Extra    []message.Field // to add to it
	response message.Response
	status   int
	reason   string // why the balancer responded itself, or cut the response

	// The backends' part.
	givenBack bool // the backend's connection, before the end of the response
	fresh     bool // no kept connection is used any more: one died under the request
	informed  bool // a 1xx of a backend has gone to the client
	body      requestBody
	key       uint64          // the hash of what the pool's hash_key names
	tried     []*pool.Backend // a backend for each try
	unmet     int             // of the tries, those to which no connection could be made
	upstream  time.Duration
	poolName  string

	remainder *remainder
	ahead     *ahead   // set: the response is taken from its backend ahead of the client
	resting   *resting // set: it waits without a goroutine
	rests     int      // so far

	departure *departure
	onLeaving func() // departure's happen

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
	x.start = time.Now()
	x.read(client.Request())
	x.host = route.CleanHost(x.hostBuf[:0], x.Request.Authority)
	x.hostBuf = x.host
	x.identify(client.Peer().Addr().Unmap())
	x.enter(s.NoSite)
}

// read takes the request, or takes it again from where it is now.
func (x *Exchange) read(r *message.Request) {
	x.Request = r
	x.path, x.query = route.SplitTarget(r.Target)
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

// end counts and logs the exchange and makes it ready for the next.
func (x *Exchange) end() {
	if !x.client.Responded() && x.status == 0 {
		x.status, x.reason = statusClientGone, "the client went away"
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
	if x.remainder != nil && x.remainder.file != nil { // what was to send it has panicked
		x.remainder.file.Close()
	}
	if x.ahead != nil { // likewise
		x.ahead.stop()
	}
	x.releaseBody()
	x.reset()
	x.handler.exchanges.Put(x)
}

func (x *Exchange) log(duration time.Duration) {
	e := x.handler.entries.Get().(*telemetry.Entry)
	*e = telemetry.Entry{
		Time: x.start, Client: x.clientIP, Site: x.site.Name, Pool: x.poolName,
		Method: x.Request.Method, Host: x.Request.Authority, Target: x.Request.Target, Protocol: x.Request.Version,
		Status: x.status, BytesIn: x.client.BodyBytes(), BytesOut: x.client.Sent(),
		Duration: duration, Upstream: x.upstream, Tries: x.tries(), RequestID: x.id,
		Referer: x.Lookup(message.Referer), UserAgent: x.Lookup(message.UserAgent),
		TLS: x.client.TLSVersion(), Error: x.reason,
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
	if x.departure.used() {
		x.watchDeparture()
	}
	*x = Exchange{
		handler: x.handler, departure: x.departure, onLeaving: x.onLeaving, tried: x.tried[:0], Extra: x.Extra[:0],
		outgoing: x.outgoing, response: x.response, pathBuf: kept(x.pathBuf), scratch: kept(x.scratch), hostBuf: kept(x.hostBuf), cleanBuf: kept(x.cleanBuf),
	}
}

func (x *Exchange) watchDeparture() {
	x.departure = &departure{}
	x.onLeaving = x.departure.happen
}

// kept is what of a buffer the next exchange may use.
func kept(b []byte) []byte {
	poison.Fill(b)
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}
