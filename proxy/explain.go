package proxy

import (
	"fmt"
	"net/netip"

	"lb/filter"
	"lb/message"
	"lb/route"
)

// Question is a request to be explained.
type Question struct {
	Request *message.Request
	Peer    netip.Addr // the sender; not valid if unknown
	In      Inbound
	By      *Handler // the handler that would serve it; nil: lb is not running, so that its loop mark is not known
}

// Explained says how a request would be handled. If a filter or an error ends its handling, what would follow is left out.
type Explained struct {
	// Status is the status of lb's own response, 0 if the route's action responds; Reason says why.
	Status   int
	Reason   string
	Allow    string // with 405: the allowed methods
	Location string // of a redirect

	Host     string // without port, in lower case
	Site     *Site  // nil: none
	SiteName string // the host name of the site that matched, as configured; "" for the default site

	Client  netip.Addr // the client's address; not valid if unknown
	Trusted bool       // the peer is a trusted proxy
	// ClientDecides says that the route has allow or deny and the client is not known.
	ClientDecides bool

	Path  string // the decoded, cleaned path
	Rules []route.Considered[*Route]
	Rule  *route.Rule[*Route] // the chosen one, or nil
	Ways  []Way               // for a proxy action: one, or one for each pool of a split
}

// Way says how a request would be forwarded to one pool.
type Way struct {
	Forward *Forward
	Weight  int    // in a split; else 1
	Target  string // the request target as sent to the backend
	Host    string // the Host field as sent to the backend
	Key     uint64 // the hash key
	Keyed   bool   // the hash key is known
	Cookie  []byte // the sticky cookie in the request; nil if there is none
}

// Explain handles a request as Serve does, but sends, counts and logs nothing.
func (s *State) Explain(q Question) Explained {
	x := &Exchange{state: s, in: q.In, handler: q.By}
	x.Request = q.Request
	x.path, x.query = route.SplitTarget(q.Request.Target)
	x.host = route.CleanHost(nil, q.Request.Authority)
	x.identify(q.Peer.Unmap())
	e := Explained{Host: string(x.host), Client: x.clientIP, Trusted: x.trusted}
	x.explained = &e
	if q.By != nil && q.By.Bans.Has(x.clientIP) {
		e.refuse(filter.Banned)
		return e
	}
	var ok bool
	if e.Site, e.SiteName, ok = s.Hosts.Explain(x.host); !ok {
		e.Site = nil
		e.refuse(noSite)
		return e
	}
	x.site = e.Site
	refusal := x.find().Refusal
	e.Path, e.Rule = string(x.clean), x.rule
	if x.clean != nil {
		e.Rules = x.site.Paths.Explain(x.clean, x.Request.Method, x.Request.Fields, x.query)
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

// ask returns the refusal of a filter, nil if it lets the request pass or cannot know that.
func (e *Explained) ask(x *Exchange, f filter.Request) *filter.Refusal {
	var v filter.Verdict
	if explainer, ok := f.(filter.Explainer); ok {
		v = explainer.Explain(x)
	} else {
		v = f.Request(x)
	}
	if v.Refusal == nil || e.overlooks(x, v.Refusal) {
		return nil
	}
	return v.Refusal
}

// overlooks reports whether the explanation continues despite a refusal, because the refusal depends on an unknown client.
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

// ambiguity describes another interpretation of the path, and the route that it matches.
func (x *Exchange) ambiguity() string {
	const remedy = `; ambiguous_paths = "allow" on both routes lets it pass`
	a, _ := x.ambiguous()
	switch {
	case len(a.Path) == 0:
		return `backends decode and clean it in different orders; ambiguous_paths = "allow" on every route of the site lets it pass`
	case a.Rule == nil:
		return fmt.Sprintf("a backend may read it as %q, which no route matches", a.Path)
	}
	return fmt.Sprintf("a backend may read it as %q, which matches route %q", a.Path, a.Rule.Pattern) + remedy
}

// follow describes what the actions of this package would do.
func (e *Explained) follow(x *Exchange, action Action) {
	switch action := action.(type) {
	case *Redirect:
		e.Status, e.Reason = action.Status, "the route redirects"
		e.Location = string(action.location(x))
	case ToSlash:
		e.Status, e.Reason = x.slashStatus(), "the route's path ends in a slash, and this path does not"
		e.Location = string(x.slashLocation())
	case *Fixed:
		e.Status, e.Reason = action.status, "the route has a fixed response"
	case *Cached:
		e.follow(x, action.Action)
	case *Mirror:
		e.follow(x, action.o.Action)
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
