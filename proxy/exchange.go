package proxy

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"lb/filter"
	"lb/internal/coding"
	"lb/internal/errorpage"
	"lb/internal/poison"
	"lb/message"
	"lb/netloop"
	"lb/pool"
	"lb/route"
	"lb/telemetry"
	"lb/transport"
)

// Exchange is one request and its response: a state machine on a loop, see machine.go. Exchanges are reused: nothing may keep one,
// or a slice obtained from it, beyond its end.
type Exchange struct {
	handler *Handler
	worker  *Worker
	state   *State
	client  Client
	in      Inbound
	start   time.Time

	phase        phase
	until        time.Time // deadline of the current wait; zero: none
	timer        netloop.Timer
	disconnected error // why the client disconnected; nil: it has not
	background   background
	handling     *handling // of a Handle; nil: none
	held         bool      // see holdState
	grantedFunc  func()

	Request *message.Request
	path    []byte // of the target, as the client sent it
	query   []byte // with its "?"
	clean   []byte // the decoded, cleaned path, by which routes and files are found
	host    []byte // without port, in lower case

	trusted  bool       // the peer is a trusted proxy
	clientIP netip.Addr // for filters, the log and forwarded fields
	id       []byte     // the request ID

	explained *Explained // set by State.Explain: there is no client

	search   searchStep        // for the route
	reserved []filter.Hold     // by filters, until the response has been sent
	user     string            // authenticated by a filter; "": none
	claims   map[string][]byte // of the token that a filter has accepted; nil: none
	findings []message.Field   // by filters, for the backend
	passed   int               // filters of that step that have let the request pass
	site     *Site
	rule     *route.Rule[*Route]
	route    *Route
	groups   []int // of the route's regular expression in the clean path; nil: not needed yet

	// The response.
	Extra     []message.Field // fields to add
	response  message.Response
	status    int
	grpc      int    // status of a call by gRPC, if isCall is set
	isCall    bool   // the response has such a status
	reason    string // why lb generated or cut the response
	cause     string // appended to reason in the log
	parts     []Part
	partsDone func()

	// The backend's side.
	forward    *Forward
	place      pool.Wait
	backend    *pool.Backend      // reserved; nil: none
	conn       transport.Exchange // nil: none
	dialErr    *transport.Error
	body       requestBody
	holds      bool            // the body is buffered before a backend is chosen
	sent       int64           // bytes of the body sent to the backend
	uploaded   bool            // the whole body has been sent
	uploadOver bool            // no more of the body will be sent
	flushed    bool            // everything sent has been written to the backend's socket
	blocked    bool            // not everything sent has been written to the client's socket
	spools     bool            // the response may be read ahead of the client
	spool      *responseSpool  // what was read ahead; nil: nothing yet
	encoder    *coding.Encoder // of the response's body; nil: none, or the whole body has been encoded
	prompt     bool            // the encoded response is an event stream
	fresh      bool            // use only new connections, since an idle one was stale
	informed   bool            // a 1xx of a backend was sent to the client
	began      time.Time       // start of the try
	waiting    pool.Waiting
	failure    *transport.Error // of the last try, while waiting for the next
	failed     pool.Outcome     // likewise
	key        uint64           // hash of what the pool's hash_key names
	tried      []*pool.Backend  // the backend of each try
	unmet      int              // tries that failed to connect
	resent     bool             // in this try the request was sent again because the backend had not processed it
	upstream   time.Duration
	poolName   string
	tunnel     *tunnel
	caching    *caching // on a route with a cache, while the request is forwarded; nil: none
	internal   bool     // made by the balancer itself: neither logged nor counted

	pathBuf  []byte // for other interpretations of the path, and for a rewritten target
	scratch  []byte
	hostBuf  []byte
	cleanBuf []byte
	idBuf    [32]byte
}

// statusClientDisconnected is logged and counted for a request whose client disconnected before there was a response. The number is
// nginx's; it is never sent.
const statusClientDisconnected = 499

// keepBuffer is the capacity above which a buffer is not kept for the next exchange.
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

// Moved updates the exchange's slices of the request after the request has moved in memory.
func (x *Exchange) Moved() {
	path := x.path
	x.path, x.query = route.SplitTarget(x.Request.Target)
	if n := len(x.clean); n > 0 && len(path) > 0 { // it may be a part of the path
		if at := cap(path) - cap(x.clean); at >= 0 && at+n <= len(path) && &path[at] == &x.clean[0] {
			x.clean = x.path[at : at+n]
		}
	}
	if len(x.id) > 0 && &x.id[0] != &x.idBuf[0] {
		x.id = message.Lookup(x.Request.Fields, message.XRequestID)
	}
}

// Loop returns the index of the exchange's loop, for metrics.
func (x *Exchange) Loop() int { return x.worker.Loop.Index() }

// enter counts the exchange for a site from now on.
func (x *Exchange) enter(site *Site) {
	if x.site != nil {
		x.site.Metrics.InFlight.Add(x.Loop(), -1)
	}
	x.site = site
	site.Metrics.InFlight.Add(x.Loop(), 1)
}

// identify determines the client's address and the request ID. The peer is not valid on a unix socket.
func (x *Exchange) identify(peer netip.Addr) {
	x.clientIP = peer
	x.trusted = peer.IsValid() && route.Contains(x.state.TrustedProxies, peer)
	x.id = nil
	if x.trusted {
		x.clientIP = forwardedClient(x.Request.Fields, x.state.TrustedProxies, peer)
		if id := message.Lookup(x.Request.Fields, message.XRequestID); errorpage.SaneID(id) {
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

// forwardedClient reads the X-Forwarded-For fields from the end and returns the first address that is not a trusted proxy's:
// what precedes it cannot be trusted.
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

// ClientIP returns the client's address, behind trusted proxies; not valid on a unix socket.
func (x *Exchange) ClientIP() netip.Addr { return x.clientIP }

// Path returns the decoded, cleaned path, by which routes are found.
func (x *Exchange) Path() []byte { return x.clean }

// Secure reports whether the client uses HTTPS, perhaps to a trusted proxy.
func (x *Exchange) Secure() bool {
	if x.trusted {
		if proto := x.Lookup(message.XForwardedProto); len(proto) > 0 {
			return message.EqualFold(proto, "https")
		}
	}
	return x.in.Secure
}

// Query returns the query as the client sent it, with its "?"; empty if there is none.
func (x *Exchange) Query() []byte { return x.query }

// Lookup returns the value of the request's first field of that kind, nil if there is none.
func (x *Exchange) Lookup(kind message.Kind) []byte { return message.Lookup(x.Request.Fields, kind) }

// tries returns the number of tries, including those that failed to connect.
func (x *Exchange) tries() int { return len(x.tried) }

// retries returns the number of tries after the first, without those that failed to connect.
func (x *Exchange) retries() int { return len(x.tried) - x.unmet - 1 }

// Head reports whether the method is HEAD, to which the response has no body.
func (x *Exchange) Head() bool { return x.Request.IsHead() }

// end counts and logs the exchange, and frees it for reuse.
func (x *Exchange) end() {
	if x.disconnected != nil && x.status == 0 {
		x.status = statusClientDisconnected
		if x.reason == "" {
			x.reason = "the client disconnected"
		}
	}
	duration := time.Since(x.start)
	if x.caching != nil {
		x.endCaching()
	}
	if !x.internal {
		x.account(&x.site.Metrics, duration)
	}
	x.giveBack()
	x.freeBody()
	if x.spool != nil {
		x.spool.spool.close()
	}
	x.releaseEncoder()
	if x.partsDone != nil {
		x.partsDone()
	}
	x.releaseState()
	if x.handling != nil {
		x.handling.end()
	}
	client, w := x.client, x.worker
	x.reset()
	w.give(x)
	client.End()
}

// account counts and logs the exchange.
func (x *Exchange) account(m *SiteMetrics, duration time.Duration) {
	loop := x.Loop()
	m.InFlight.Add(loop, -1)
	m.Requests.IncOn(loop, x.status)
	m.Duration.ObserveOn(loop, duration)
	if n := x.client.BodyBytes(); n > 0 {
		m.BytesIn.Add(loop, n)
	}
	m.BytesOut.Add(loop, x.client.Sent())
	if x.isCall && x.forward != nil {
		x.forward.Pool.Metrics().GRPC.IncOn(loop, x.grpc)
	}
	if x.state.AccessLog != nil {
		x.log(duration)
	}
}

// abandon ends an exchange whose client has disconnected.
func (x *Exchange) abandon() {
	if x.status == 0 || !x.client.Begun() {
		x.status = statusClientDisconnected
	}
	switch {
	case x.reason != "":
	case x.client.Begun():
		x.reason = "cannot send the response: " + x.disconnected.Error()
	default:
		x.reason = "the client disconnected before there was a response"
	}
	x.end()
}

// leaveBackend ends an exchange whose client has disconnected during a try.
func (x *Exchange) leaveBackend() {
	if x.backend != nil {
		x.settle(0)
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
		TLS: x.in.TLSVersion, User: x.user, Error: x.reason + x.cause,
	}
	if x.isCall {
		e.GRPC = strconv.Itoa(x.grpc) // which does not allocate for numbers below 100
	}
	if x.rule != nil {
		e.Route = x.rule.Pattern
	}
	if n := len(x.tried); n > 0 {
		e.Backend = x.tried[n-1].Address()
	}
	x.state.AccessLog.Write(e)
	*e = telemetry.Entry{} // drop the references to the exchange's slices
	x.handler.entries.Put(e)
}

func (x *Exchange) reset() {
	clear(x.response.Fields)
	clear(x.Extra)
	clear(x.tried)
	clear(x.findings)
	x.response.Reset(0)
	*x = Exchange{
		handler: x.handler, worker: x.worker, timer: x.timer, grantedFunc: x.grantedFunc, tried: x.tried[:0], Extra: x.Extra[:0],
		reserved: x.reserved[:0], findings: x.findings[:0],
		response: x.response, pathBuf: kept(x.pathBuf), scratch: kept(x.scratch), hostBuf: kept(x.hostBuf), cleanBuf: kept(x.cleanBuf),
	}
}

// kept returns the buffer, emptied for the next exchange, or nil if it is too large to keep.
func kept(b []byte) []byte {
	poison.Fill(b)
	if cap(b) > keepBuffer {
		return nil
	}
	return b[:0]
}
