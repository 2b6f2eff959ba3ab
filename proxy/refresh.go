package proxy

import (
	"io"
	"net/netip"
	"os"

	"lb/cache"
	"lb/message"
	"lb/netloop"
)

// refresh has a stale response confirmed or replaced by the backend, unless that is being done. It is an exchange of its own, with a
// client that discards the response. It is neither logged nor counted as a request.
func (a *Cached) refresh(x *Exchange, l *cache.Lookup) {
	flight, _, _ := a.Route.Join(l, nil)
	if flight == nil {
		return
	}
	c := &caching{by: a, lookup: *l, flight: flight, counted: true, confirming: l.Entry.Validates()}
	c.lookup.Key, c.lookup.Outcome = append([]byte(nil), l.Key...), cache.Forward
	if c.confirming {
		c.lookup.Outcome = cache.Validate
	}
	y := x.worker.copyOf(x)
	defer y.recover()
	client := &internalClient{request: x.Request.Clone(), local: x.client.Local()}
	client.request.Method = methodGET
	client.request.Fields = withoutConditions(client.request.Fields)
	y.caching, y.client, y.Request = c, client, client.Request()
	y.identify(x.in.Peer.Addr().Unmap())
	a.Action.Serve(y)
}

var methodGET = []byte("GET")

// withoutConditions removes the client's conditions in place.
func withoutConditions(fields []message.Field) []message.Field {
	out := fields[:0]
	for i := range fields {
		if !isCondition(fields[i].Kind) {
			out = append(out, fields[i])
		}
	}
	return out
}

// internalClient is the client of a request that the balancer itself makes.
type internalClient struct {
	request message.Request
	local   netip.AddrPort
	begun   bool
}

// These implement Client. Everything is sent at once, and discarded.
func (c *internalClient) Request() *message.Request { return &c.request }
func (c *internalClient) Local() netip.AddrPort     { return c.local }
func (c *internalClient) Read() ([]byte, error)     { return nil, io.EOF }
func (c *internalClient) Trailers() []message.Field { return nil }
func (c *internalClient) BodyTooLarge() bool        { return false }
func (c *internalClient) BodyPending() bool         { return false }
func (c *internalClient) BodyBytes() int64          { return 0 }
func (c *internalClient) DropArrived()              {}
func (c *internalClient) SendContinue()             {}

func (c *internalClient) SendInterim(*message.Response) bool { return true }

func (c *internalClient) Respond(*message.Response, []byte, bool, bool) bool {
	c.begun = true
	return true
}

func (c *internalClient) Send([]byte, bool, []message.Field) bool   { return true }
func (c *internalClient) SendFile(*os.File, int64, int64) bool      { return true }
func (c *internalClient) Begun() bool                               { return c.begun }
func (c *internalClient) Sent() int64                               { return 0 }
func (c *internalClient) Close()                                    {}
func (c *internalClient) Abort()                                    {}
func (c *internalClient) Upgrade(Upgraded) (netloop.Stream, []byte) { return nil, nil } // its requests offer none
func (c *internalClient) End()                                      {}
