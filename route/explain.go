package route

import "lb/message"

// Fit says how a rule fared with a request.
type Fit uint8

// How a rule fares; all but the last two have a path that the request's is below.
const (
	Chosen       Fit = iota
	Beaten           // another matching rule has precedence: an exact one, or one with a longer path
	OtherMethod      // the method is not among the rule's
	OtherHeaders     // a field is missing or has another value
	OtherQuery       // a pair of the query is missing or has another value
	AddsSlash        // its Slash is what Match returns
	OtherPath
)

// Considered is one rule with how it fared.
type Considered[A any] struct {
	Rule *Rule[A]
	Fit  Fit
}

// Explain is Match with its reasons: all the rules whose path covers the request's, in the order in
// which they are tried. At most one is Chosen: the one that Match returns, or AddsSlash.
func (p *Paths[A]) Explain(path, method []byte, fields []message.Field, query []byte) []Considered[A] {
	chosen, _ := p.Match(path, method, fields, query)
	var list []Considered[A]
	specific := len(p.prefixes)
	for specific > 0 && len(p.prefixes[specific-1].Path) <= 1 {
		specific--
	}
	for _, rules := range [][]*Rule[A]{p.exact[string(path)], p.prefixes[:specific], p.regexps, p.prefixes[specific:]} {
		for _, r := range rules {
			if fit := r.fit(path, method, fields, query, chosen); fit != OtherPath {
				list = append(list, Considered[A]{r, fit})
			}
		}
	}
	return list
}

func (r *Rule[A]) fit(path, method []byte, fields []message.Field, query []byte, chosen *Rule[A]) Fit {
	switch {
	case r == chosen:
		return Chosen
	case chosen != nil && r.Slash == chosen:
		return AddsSlash
	case !r.covers(path):
		return OtherPath
	case !r.matchesHeaders(fields):
		return OtherHeaders
	case !r.matchesQuery(query):
		return OtherQuery
	case !r.allows(method):
		return OtherMethod
	}
	return Beaten
}
