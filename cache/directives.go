package cache

import (
	"lb/message"
)

// control are the directives of a Cache-Control field (RFC 9111 section 5.2), or of a targeted field (RFC 9213).
type control struct {
	any                                      bool // there is a directive
	noStore, noCache, onlyIfCached           bool
	private, public, mustUnderstand          bool
	mustRevalidate, proxyRevalidate          bool
	maxAge, sharedMaxAge, minFresh, maxStale int64 // seconds; none if absent
	staleWhileRevalidate, staleIfError       int64 // seconds (RFC 5861); none if absent
}

// none stands for a number that a directive would give and does not.
const none = -1

// longest is the largest number of seconds that is told from infinity (RFC 9111 section 1.2.2).
const longest = 1<<31 - 1

func noControl() control {
	return control{maxAge: none, sharedMaxAge: none, minFresh: none, maxStale: none, staleWhileRevalidate: none, staleIfError: none}
}

// add adds the directives of one field value. Of a directive that is repeated the stricter value holds, and an invalid lifetime is 0: the
// response is stale (RFC 9111 section 4.2.1).
func (c *control) add(list []byte) {
	for len(list) > 0 {
		var name, value []byte
		var open bool
		name, value, list, open = nextDirective(list)
		if len(name) > 0 {
			c.set(name, value)
		}
		if open {
			c.private = true // what the string has swallowed is not known
		}
	}
}

func (c *control) set(name, value []byte) {
	c.any = true
	switch {
	case message.EqualFold(name, "max-age"):
		c.maxAge = stricter(c.maxAge, lifetime(value))
	case message.EqualFold(name, "s-maxage"):
		c.sharedMaxAge = stricter(c.sharedMaxAge, lifetime(value))
	case message.EqualFold(name, "no-store"):
		c.noStore = true
	case message.EqualFold(name, "no-cache"): // one that names fields is taken for all of the response
		c.noCache = true
	case message.EqualFold(name, "private"): // likewise
		c.private = true
	case message.EqualFold(name, "public"):
		c.public = true
	case message.EqualFold(name, "must-revalidate"):
		c.mustRevalidate = true
	case message.EqualFold(name, "proxy-revalidate"):
		c.proxyRevalidate = true
	case message.EqualFold(name, "must-understand"):
		c.mustUnderstand = true
	case message.EqualFold(name, "only-if-cached"):
		c.onlyIfCached = true
	case message.EqualFold(name, "min-fresh"):
		c.minFresh = seconds(value)
	case message.EqualFold(name, "max-stale"):
		if c.maxStale = seconds(value); len(value) == 0 {
			c.maxStale = longest
		}
	case message.EqualFold(name, "stale-while-revalidate"):
		c.staleWhileRevalidate = seconds(value)
	case message.EqualFold(name, "stale-if-error"):
		c.staleIfError = seconds(value)
	}
}

// stricter returns the smaller of a number that may be none and another.
func stricter(before, n int64) int64 {
	if before == none {
		return n
	}
	return min(before, n)
}

// lifetime is seconds with 0 for what is not a number.
func lifetime(value []byte) int64 { return max(seconds(value), 0) }

// seconds reads a number of seconds, at most longest; none if it is not a number.
func seconds(value []byte) int64 {
	if len(value) == 0 {
		return none
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return none
		}
		n = min(n*10+int64(c-'0'), longest)
	}
	return n
}

// nextDirective cuts the first directive off a list. A quoted value is returned without its quotes; open says that the closing one is
// missing. name is empty for an empty item.
func nextDirective(list []byte) (name, value, rest []byte, open bool) {
	i := 0
	for i < len(list) && list[i] != ',' && list[i] != '=' {
		i++
	}
	name = message.TrimSpace(list[:i])
	if i == len(list) || list[i] == ',' {
		return name, nil, after(list, i), false
	}
	if i > 0 && (list[i-1] == ' ' || list[i-1] == '\t') {
		name = nil // no space may precede the "=", and what it belongs to is not known
	}
	i++
	if i < len(list) && list[i] == '"' {
		start := i + 1
		for i = start; i < len(list) && list[i] != '"'; i++ {
			if list[i] == '\\' {
				i++
			}
		}
		value, open = list[start:min(i, len(list))], i >= len(list)
		for i < len(list) && list[i] != ',' {
			i++
		}
		return name, value, after(list, i), open
	}
	start := i
	for i < len(list) && list[i] != ',' {
		i++
	}
	return name, message.TrimSpace(list[start:i]), after(list, i), false
}

// after returns what follows the separator at i, nil at the end.
func after(list []byte, i int) []byte {
	if i >= len(list) {
		return nil
	}
	return list[i+1:]
}
