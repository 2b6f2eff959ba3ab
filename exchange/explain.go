package exchange

import (
	"fmt"
	"net/netip"

	"lb/filter"
	"lb/message"
	"lb/route"
)

// Question is a request that is explained rather than responded.
type Question struct {
	Request *message.Request
	Peer    netip.Addr // who sends it; not valid: nobody knows
	In      Inbound
	By      *Handler // which would serve it; nil: none runs, so that its loop mark is not known
}

// Explained is what a request would meet. What lies behind an obstacle is left out.
type Explained struct {
	// Status is what lb would respond with itself, 0 if the rule's action responds; Reason says why.
	Status   int
	Reason   string
	Allow    string // with 405: the methods
	Location string // where the client would be sent, by whatever redirects

	Host     string // the name alone, in lower case
	Site     *Site  // nil: none
	SiteName string // the host name of the site that matched, as configured; "" for the default site

	Client  netip.Addr // whom rules go by; not valid if that is not known
	Trusted bool       // the peer is a trusted proxy
	// ClientDecides says that the rule has allow or deny and nobody knows the client.
	ClientDecides bool

	Path  string // that rules and files are matched by
	Rules []route.Considered[*Route]
	Rule  *route.Rule[*Route] // the chosen one, or nil
	Ways  []Way               // if the rule forwards: one, or the shares of a split
}

// Way is how a request would go to one pool.
type Way struct {
	Forward *Forward
	Weight  int    // of a split; else 1
	Target  string // of the request as the backend would get it
	Host    string // its Host field
	Key     uint64 // what the pool hashes by
	Keyed   bool   // the key is known
	Cookie  []byte // of a sticky pool, as the request brings it; nil if it does not
}

// Explain goes the way of a request as Serve does, but counts, logs and responds to nothing.
func (s *State) Explain(q Question) Explained {
	x := &Exchange{state: s, in: q.In, handler: q.By}
	x.Request = q.Request
	x.path, x.query = route.SplitTarget(q.Request.Target)
	x.host = route.CleanHost(nil, q.Request.Authority)
	x.identify(q.Peer.Unmap())
	e := Explained{Host: string(x.host), Client: x.clientIP, Trusted: x.trusted}
	x.explained = &e
	var ok bool
	if e.Site, e.SiteName, ok = s.Hosts.Explain(x.host); !ok {
		e.Site = nil
		e.refuse(noSite)
		return e
	}
	x.site = e.Site
	refusal := x.find()
	e.Path, e.Rule = string(x.clean), x.rule
	if x.clean != nil {
		e.Rules = x.site.Paths.Explain(x.clean, x.Request.Method, x.Request.Fields)
	}
	if refusal != nil {
		e.refuse(refusal)
		if refusal == ambiguousPath {
			e.Reason += ": " + x.ambiguity()
		}
		return e
	}
	e.follow(x, x.route.Action)
	return e
}

// overlooks reports whether the explanation goes on behind a refusal, since nobody knows the client that it depends on.
func (e *Explained) overlooks(x *Exchange, r *filter.Refusal) bool {
	unknown := r == filter.Denied && !x.clientIP.IsValid()
	e.ClientDecides = e.ClientDecides || unknown
	return unknown
}

func (e *Explained) refuse(r *filter.Refusal) {
	e.Status, e.Reason, e.Location = r.Status, r.Reason, string(r.Location)
	for i := range r.Fields {
		if f := &r.Fields[i]; message.EqualFold(f.Name, "allow") {
			e.Allow = string(f.Value)
		}
	}
}

// ambiguity names another reading of the path, and the rule that it meets.
func (x *Exchange) ambiguity() string {
	const remedy = `; ambiguous_paths = "allow" on both routes lets it pass`
	a, _ := x.ambiguous()
	switch {
	case len(a.Path) == 0:
		return `it mixes what backends resolve in different orders; ambiguous_paths = "allow" on every route of the site lets it pass`
	case a.Rule == nil:
		return fmt.Sprintf("a backend may read it as %q, which no route takes", a.Path)
	}
	return fmt.Sprintf("a backend may read it as %q, which is route %q's", a.Path, a.Rule.Pattern) + remedy
}

// follow tells what the actions of this package would do.
func (e *Explained) follow(x *Exchange, action Action) {
	switch action := action.(type) {
	case *Redirect:
		e.Status, e.Reason = action.Status, "the route redirects"
		e.Location = string(action.location(x))
	case ToSlash:
		e.Status, e.Reason = x.slashStatus(), "the route's path has a slash at its end, which this one lacks"
		e.Location = string(x.slashLocation())
	case *Fixed:
		e.Status, e.Reason = action.status, "the route has a fixed answer"
	case *Forward:
		e.Ways = append(e.Ways, action.explain(x, 1))
	case *Split:
		before := uint64(0)
		for _, share := range action.shares {
			e.Ways = append(e.Ways, share.forward.explain(x, int(share.upto-before)))
			before = share.upto
		}
	}
}

func (f *Forward) explain(x *Exchange, weight int) Way {
	w := Way{Forward: f, Weight: weight, Target: string(f.target(x)), Host: f.Host, Key: f.HashKey.of(x)}
	if w.Host == "" {
		w.Host = string(x.Request.Authority)
	}
	_, byHead := f.HashKey.ofHead(x)
	w.Keyed = byHead || x.clientIP.IsValid()
	w.Cookie = f.Sticky.of(x)
	return w
}
