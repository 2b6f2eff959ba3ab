package route

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"lb/message"
)

// Rule is one route of a site. A is the action.
type Rule[A any] struct {
	Pattern string // as configured, for logs
	Path    string
	Exact   bool     // Path is the whole path; otherwise a prefix
	Methods []string // none: all
	Headers []Header // all must be there with that value
	Query   []Header // all must be in the query with that value
	// Regexp matches the path in place of Path, which is then empty. It is used if no exact path and no prefix but "/" matches.
	Regexp *regexp.Regexp
	Action A

	// CutOff says that the backend gets what follows Path. A prefix then ends where a segment of the path
	// ends: "/img" is one of "/img" and "/img/a", not of "/imga".
	CutOff bool
	// Class is the same for rules that treat a request in the same way; 0: no other rule does.
	Class int
	// Lenient allows paths that a backend could read as another lenient rule's; see Paths.Ambiguous.
	Lenient bool
	// Rewrites says that the path is not passed on as written.
	Rewrites bool
	// Slash, of a prefix that ends in a slash, is the rule for the path without it, which sends the client to the prefix.
	// It is used if only a shorter prefix matches that path. Nil: none.
	Slash *Rule[A]
}

// Header is a field by name, in any case, and value.
type Header struct{ Name, Value string }

// Paths finds the rule for a path. The zero value has none.
type Paths[A any] struct {
	exact    map[string][]*Rule[A]
	prefixes []*Rule[A] // the longest first
	regexps  []*Rule[A] // in the order of Add

	rules   int
	class   int  // of the first rule
	mixed   bool // there are others
	methods int  // rules that name some
	strict  int  // rules that are not lenient
	all     bool // a prefix rule takes every path
}

// Add adds a rule; among rules with the same path the one added first is tried first.
func (p *Paths[A]) Add(rule *Rule[A]) {
	p.note(rule)
	if rule.Exact {
		if p.exact == nil {
			p.exact = map[string][]*Rule[A]{}
		}
		p.exact[rule.Path] = append(p.exact[rule.Path], rule)
		return
	}
	if rule.Regexp != nil {
		p.regexps = append(p.regexps, rule)
		return
	}
	p.prefixes = append(p.prefixes, rule)
	slices.SortStableFunc(p.prefixes, func(a, b *Rule[A]) int { return len(b.Path) - len(a.Path) })
}

// note records what Ambiguous needs to know of all rules.
func (p *Paths[A]) note(rule *Rule[A]) {
	if p.rules == 0 {
		p.class = rule.Class
	}
	p.rules++
	p.mixed = p.mixed || rule.Class == 0 || rule.Class != p.class
	if len(rule.Methods) > 0 {
		p.methods++
	}
	if !rule.Lenient {
		p.strict++
	}
	p.all = p.all || rule.Path == "/" && !rule.Exact && len(rule.Headers)+len(rule.Query) == 0
}

// HasRegexps reports whether a rule has a regular expression.
func (p *Paths[A]) HasRegexps() bool { return len(p.regexps) > 0 }

// Match returns the rule for a clean path: an exact one before the longest prefix, where "/app" is that of "/app/" too if
// it has such a Slash, and regular expressions before the prefix "/". A rule whose headers or query do not match is passed over. If only
// the method is in the way, rule is nil and allow is the value of an Allow field. It does not allocate unless the method is refused.
func (p *Paths[A]) Match(path, method []byte, fields []message.Field, query []byte) (rule *Rule[A], allow string) {
	var refused []*Rule[A]
	for _, r := range p.exact[string(path)] {
		if r.matches(fields, query) {
			if r.allows(method) {
				return r, ""
			}
			refused = append(refused, r)
		}
	}
	var slash *Rule[A]
	untried := p.regexps
	for _, r := range p.prefixes {
		if len(untried) > 0 && len(r.Path) <= 1 && slash == nil && len(refused) == 0 {
			if rule, refused = matchRegexps(untried, path, method, fields, query); rule != nil {
				return rule, ""
			}
			untried = nil
		}
		if len(refused) > 0 && (refused[0].Exact || refused[0].Path != r.Path) {
			break // a shorter path is not used for a method that a longer one refuses
		}
		if len(r.Path) == len(path)+1 {
			if slash == nil && r.lacksSlash(path) && r.matches(fields, query) && r.allows(method) {
				slash = r.Slash
			}
			continue
		}
		if slash != nil && len(r.Path) < len(path) {
			break
		}
		if r.covers(path) && r.matches(fields, query) {
			if r.allows(method) {
				return r, ""
			}
			refused = append(refused, r)
		}
	}
	if len(untried) > 0 && slash == nil && len(refused) == 0 {
		if rule, refused = matchRegexps(untried, path, method, fields, query); rule != nil {
			return rule, ""
		}
	}
	if len(refused) == 0 {
		return slash, ""
	}
	var methods []string
	for _, r := range refused {
		methods = append(methods, r.Methods...)
	}
	slices.Sort(methods)
	return nil, strings.Join(slices.Compact(methods), ", ")
}

// matchRegexps returns the first rule whose regular expression and conditions match, or those whose methods alone do not.
func matchRegexps[A any](rules []*Rule[A], path, method []byte, fields []message.Field, query []byte) (rule *Rule[A], refused []*Rule[A]) {
	for _, r := range rules {
		if r.covers(path) && r.matches(fields, query) {
			if r.allows(method) {
				return r, nil
			}
			refused = append(refused, r)
		}
	}
	return nil, refused
}

// covers reports whether the rule's path is that path, or a prefix of it.
func (r *Rule[A]) covers(path []byte) bool {
	if r.Regexp != nil {
		return r.Regexp.Match(path)
	}
	if r.Exact {
		return string(path) == r.Path
	}
	n := len(r.Path)
	return len(path) >= n && string(path[:n]) == r.Path &&
		(!r.CutOff || len(path) == n || path[n] == '/' || n > 0 && path[n-1] == '/')
}

// lacksSlash reports whether path is the rule's but for the slash at its end.
func (r *Rule[A]) lacksSlash(path []byte) bool {
	n := len(path)
	return r.Slash != nil && n > 0 && len(r.Path) == n+1 && r.Path[n] == '/' && r.Path[:n] == string(path) && path[n-1] != '/'
}

func (r *Rule[A]) allows(method []byte) bool {
	if len(r.Methods) == 0 {
		return true
	}
	for _, m := range r.Methods {
		if string(method) == m {
			return true
		}
	}
	return false
}

func (r *Rule[A]) matches(fields []message.Field, query []byte) bool {
	return r.matchesHeaders(fields) && r.matchesQuery(query)
}

func (r *Rule[A]) matchesHeaders(fields []message.Field) bool {
	for i := range r.Headers {
		if !r.Headers[i].in(fields) {
			return false
		}
	}
	return true
}

func (h *Header) in(fields []message.Field) bool {
	for i := range fields {
		if bytes.EqualFold(fields[i].Name, []byte(h.Name)) && string(fields[i].Value) == h.Value {
			return true
		}
	}
	return false
}
