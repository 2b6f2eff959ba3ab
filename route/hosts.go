// Package route decides where a request goes: the site by its host, the rule by its path,
// method and headers. Everything here is immutable once built, so requests share it freely.
package route

import (
	"bytes"

	"lb/message"
)

// Hosts finds a value by host name: an exact name first, then the longest wildcard, then
// the default. The zero value matches nothing.
type Hosts[S any] struct {
	exact    map[string]S
	wildcard map[string]S              // by the suffix with its dot: ".example.org"
	suffixes [message.MaxHost + 1]bool // by length: whether a wildcard has such a suffix
	fallback S
	any      bool
}

// Add serves name with s. name is in lower case; "*.example.org" stands for every name below
// example.org, "" for all that nothing else matches.
func (h *Hosts[S]) Add(name string, s S) {
	switch {
	case name == "":
		h.fallback, h.any = s, true
	case len(name) > 2 && name[:2] == "*.":
		if h.wildcard == nil {
			h.wildcard = map[string]S{}
		}
		h.wildcard[name[1:]] = s
		h.suffixes[len(name)-1] = true
	default:
		if h.exact == nil {
			h.exact = map[string]S{}
		}
		h.exact[name] = s
	}
}

// Match returns the value for a name as CleanHost gives it. It does not allocate.
func (h *Hosts[S]) Match(name []byte) (s S, ok bool) {
	s, _, ok = h.find(name)
	return s, ok
}

// Explain is Match with the reason: added is the name as it was given to Add, "" for the default.
func (h *Hosts[S]) Explain(name []byte) (s S, added string, ok bool) {
	s, tail, ok := h.find(name)
	switch {
	case len(tail) == 0:
		return s, "", ok
	case len(tail) < len(name):
		return s, "*" + string(tail), ok
	}
	return s, string(name), ok
}

// find also returns the part of the name that was found: all of it, a wildcard's, or nothing.
func (h *Hosts[S]) find(name []byte) (s S, tail []byte, ok bool) {
	if s, ok = h.exact[string(name)]; ok {
		return s, name, true
	}
	if len(h.wildcard) > 0 {
		for dot := bytes.IndexByte(name, '.'); dot >= 0; {
			// A name may have more than a hundred dots: what no wildcard can be is not hashed.
			if n := len(name) - dot; dot > 0 && n < len(h.suffixes) && h.suffixes[n] {
				if s, ok = h.wildcard[string(name[dot:])]; ok {
					return s, name[dot:], true
				}
			}
			next := bytes.IndexByte(name[dot+1:], '.')
			if next < 0 {
				break
			}
			dot += 1 + next
		}
	}
	return h.fallback, nil, h.any
}

// CleanHost appends the name in a Host field to dst: without port, in lower case, without
// the dot that ends a fully qualified name.
func CleanHost(dst, host []byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		if end := bytes.IndexByte(host, ']'); end > 0 {
			host = host[:end+1]
		}
	} else if colon := bytes.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	return message.AppendLower(dst, host)
}
