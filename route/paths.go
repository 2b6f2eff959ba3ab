package route

import (
	"bytes"
	"slices"
	"strings"

	"lb/internal/wire"
)

// Rule is one route of a site. A is what the request meets there.
type Rule[A any] struct {
	Pattern string // as configured, for logs
	Path    string
	Exact   bool     // Path is the whole path; otherwise a prefix
	Methods []string // none: all
	Headers []Header // all must be there with that value
	Access  Access
	Action  A
}

// Header is a field by name, in any case, and value.
type Header struct{ Name, Value string }

// Paths finds the rule for a path. The zero value has none.
type Paths[A any] struct {
	exact    map[string][]*Rule[A]
	prefixes []*Rule[A] // the longest first
}

// Add puts a rule in; among rules with the same path the one added first is asked first.
func (p *Paths[A]) Add(rule *Rule[A]) {
	if rule.Exact {
		if p.exact == nil {
			p.exact = map[string][]*Rule[A]{}
		}
		p.exact[rule.Path] = append(p.exact[rule.Path], rule)
		return
	}
	p.prefixes = append(p.prefixes, rule)
	slices.SortStableFunc(p.prefixes, func(a, b *Rule[A]) int { return len(b.Path) - len(a.Path) })
}

// Match returns the rule for a clean path: an exact one before the longest prefix. A rule whose
// headers do not match is passed over. If only the method is in the way, rule is nil
// and allow is the value of an Allow field. It does not allocate unless the method is refused.
func (p *Paths[A]) Match(path, method []byte, fields []wire.Field) (rule *Rule[A], allow string) {
	var refused []*Rule[A]
	for _, r := range p.exact[string(path)] {
		if r.matches(fields) {
			if r.allows(method) {
				return r, ""
			}
			refused = append(refused, r)
		}
	}
	for _, r := range p.prefixes {
		if len(refused) > 0 && (refused[0].Exact || refused[0].Path != r.Path) {
			break // a shorter path does not stand in for a method that a longer one refuses
		}
		if r.covers(path) && r.matches(fields) {
			if r.allows(method) {
				return r, ""
			}
			refused = append(refused, r)
		}
	}
	if len(refused) == 0 {
		return nil, ""
	}
	var methods []string
	for _, r := range refused {
		methods = append(methods, r.Methods...)
	}
	slices.Sort(methods)
	return nil, strings.Join(slices.Compact(methods), ", ")
}

// covers reports whether the rule's path is that path, or a prefix of it.
func (r *Rule[A]) covers(path []byte) bool {
	if r.Exact {
		return string(path) == r.Path
	}
	return len(path) >= len(r.Path) && string(path[:len(r.Path)]) == r.Path
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

func (r *Rule[A]) matches(fields []wire.Field) bool {
	for i := range r.Headers {
		if !r.Headers[i].in(fields) {
			return false
		}
	}
	return true
}

func (h *Header) in(fields []wire.Field) bool {
	for i := range fields {
		if bytes.EqualFold(fields[i].Name, []byte(h.Name)) && string(fields[i].Value) == h.Value {
			return true
		}
	}
	return false
}
