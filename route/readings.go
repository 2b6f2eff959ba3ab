package route

import (
	"bytes"

	"lb/message"
)

// Backends do not agree on what a path means: some take it as it is written, some decode it, some remove dot
// segments, merge slashes or cut parameters off. Rules are matched by one reading alone, CleanPath's. A path that is
// forwarded as written is therefore ambiguous if another usual reading of it matches another rule.

// traits are what in a path can be read in more than one way.
type traits uint8

const (
	escaped    traits = 1 << iota // has a percent-encoded byte
	doubled                       // decoded, it has another
	slashes                       // an encoded slash or backslash, which is a separator for some
	parameters                    // a semicolon, which for some begins what is no part of the name
	empty                         // "//"
	authority                     // "//" at the start, which for some is followed by a host
	dots                          // "." or ".." between slashes
	twisted                       // so much that the readings cannot be compared one by one
)

// traitsOf looks at a path that CleanPath accepts.
//
// Twisted is a path with a backslash, which no URI contains; with a dot segment that is not one in every reading, as
// "%2e%2e", "..%2f" and "..;x" are; or with dot segments, empty segments or an authority and anything else, since the
// result then depends on what is done first.
func traitsOf(path []byte) (t traits) {
	var s segment
	for i := 0; i < len(path); {
		c, n := decodeAt(path, i)
		if n > 1 {
			t |= escaped
		}
		if c == '%' {
			if d, m := decodeTwiceAt(path, i+n); m > 0 {
				t |= doubled
				c, n = d, n+m
			}
		}
		switch odd := n > 1 || c == '\\'; {
		case c == '/' || c == '\\':
			t |= s.traits(odd)
			switch {
			case odd:
				t |= slashes
			case i == 1 && path[0] == '/':
				t |= authority
			case i > 1 && path[i-1] == '/':
				t |= empty
			}
			if n == 1 && odd {
				t |= twisted
			}
			s = segment{odd: odd}
		case c == ';':
			t |= parameters
			s.cut = true
		case s.cut:
		case c == '.':
			s.dots++
			s.odd = s.odd || odd
		default:
			s.name = true
		}
		i += n
	}
	t |= s.traits(false)
	alone := t & (dots | empty | authority)
	if alone&(alone-1) != 0 || alone != 0 && t&(slashes|parameters) != 0 {
		t |= twisted
	}
	return t
}

// segment is the part between two slashes, in any spelling of slash, dot and semicolon.
type segment struct {
	dots int
	name bool // there is something else than dots
	cut  bool // a semicolon was there
	odd  bool // some would not see the segment, or not these dots
}

func (s *segment) traits(oddEnd bool) traits {
	switch {
	case s.name || s.dots == 0 || s.dots > 2:
		return 0
	case s.odd || s.cut || oddEnd:
		return twisted
	}
	return dots
}

// decodeAt returns the byte at i, decoded, and how many bytes it is written with.
func decodeAt(path []byte, i int) (c byte, n int) {
	if c = path[i]; c == '%' && i+2 < len(path) {
		if hi, lo := unhex(path[i+1]), unhex(path[i+2]); hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	return c, 1
}

// decodeTwiceAt returns the byte that two digits at i stand for, where those may be encoded themselves; n is 0 if
// there are none.
func decodeTwiceAt(path []byte, i int) (c byte, n int) {
	for range 2 {
		if i+n >= len(path) {
			return 0, 0
		}
		digit, m := decodeAt(path, i+n)
		value := unhex(digit)
		if value < 0 {
			return 0, 0
		}
		c, n = c<<4|byte(value), n+m
	}
	return c, n
}

// reading is one way to read a path.
type reading struct {
	// decode is how often escapes are decoded. With 0 only those are that a path cannot be written without: a
	// route "/café/" can be requested in one spelling only.
	decode     int
	backslash  bool // is a slash
	parameters int  // 0: are part of the name; 1: are cut off before, 2: after decoding
}

// appendPath appends the path in that reading; dot segments and empty ones are kept.
func (r reading) appendPath(dst, path []byte) []byte {
	skip := false
	for i := 0; i < len(path); {
		c, n := decodeAt(path, i)
		raw := path[i]
		if r.decode == 0 && n > 1 && writable(c) {
			c, n = raw, 1
		}
		if r.decode == 2 && n > 1 && c == '%' {
			if d, m := decodeTwiceAt(path, i+n); m > 0 {
				c, n = d, n+m
			}
		}
		if c == '\\' && r.backslash {
			c = '/'
		}
		i += n
		switch r.parameters {
		case 1:
			skip = raw == ';' || skip && raw != '/'
		case 2:
			skip = c == ';' || skip && c != '/'
		}
		if !skip {
			dst = append(dst, c)
		}
	}
	return dst
}

// writable reports whether a byte can be in a path unencoded: RFC 3986 section 3.3, and the slash.
func writable(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return bytes.IndexByte([]byte("-._~!$&'()*+,;=:@/"), c) >= 0
}

// Ambiguity is another reading of a path that does not match the same rule.
type Ambiguity[A any] struct {
	Path []byte   // in that reading; empty if there are too many to compare
	Rule *Rule[A] // nil: no rule takes such a request
}

// Plain reports whether all readings of a path are the same: clean is the result of CleanPath.
func Plain(path, clean []byte) bool {
	return len(path) == len(clean) && &path[0] == &clean[0] && bytes.IndexByte(path, ';') < 0 && bytes.IndexByte(path, '\\') < 0
}

// Unresolved reports whether a path that CleanPath accepts has dot segments, in any spelling, or empty ones: another program may resolve
// them in another way.
func Unresolved(path []byte) bool {
	return traitsOf(path)&(dots|empty|authority|twisted) != 0
}

// Ambiguous reports whether a backend that gets path as written could read it as one that another rule matches
// than chosen, which is the one for clean. Rules of one class do not count as different, nor do lenient ones. It
// uses scratch, returns it grown, and allocates nothing else; what a holds is overwritten with scratch.
func (p *Paths[A]) Ambiguous(scratch, path, clean, method []byte, fields []message.Field, query []byte, chosen *Rule[A]) (a Ambiguity[A], grown []byte, ambiguous bool) {
	if len(path) == 0 || path[0] != '/' || Plain(path, clean) {
		return a, scratch, false
	}
	t := traitsOf(path)
	if p.strict == 0 || p.uniform() && !chosen.Rewrites {
		return a, scratch, false
	}
	if t&twisted != 0 {
		return a, scratch, true
	}
	// Where the prefix is cut off and is not written as in the rule, the backend gets what follows it in the clean path.
	replaced := chosen.CutOff && !bytes.HasPrefix(path, []byte(chosen.Path))
	check := func(r reading, path []byte) bool {
		scratch = r.appendPath(scratch[:0], path)
		if !replaced || r.decode > 0 {
			if ambiguous = p.differs(&a, scratch, clean, method, fields, query, chosen); ambiguous {
				return true
			}
		}
		if t&(dots|empty|authority|slashes|parameters) == 0 || len(scratch) == 0 {
			return false
		}
		resolved, ok := resolve(scratch)
		ambiguous = !ok || p.differs(&a, resolved, clean, method, fields, query, chosen)
		return ambiguous
	}
	for _, r := range readings {
		if r.needs&^t != 0 {
			continue
		}
		if check(r.reading, path) {
			return a, scratch, true
		}
		if t&authority != 0 {
			behind := path[:1] // the root
			if host := bytes.IndexByte(path[2:], '/'); host >= 0 {
				behind = path[2+host:]
			}
			if check(r.reading, behind) {
				return a, scratch, true
			}
		}
	}
	return a, scratch, false
}

// readings are the ways to read a path, with the traits without which each is the same as one before it.
var readings = [...]struct {
	reading
	needs traits
}{
	{reading{decode: 0}, 0},
	{reading{decode: 1}, escaped},
	{reading{decode: 1, backslash: true}, slashes},
	{reading{decode: 2, backslash: true}, doubled},
	{reading{decode: 0, parameters: 1}, parameters},
	{reading{decode: 1, parameters: 1}, parameters | escaped},
	{reading{decode: 1, parameters: 2}, parameters | escaped},
	{reading{decode: 1, backslash: true, parameters: 2}, parameters | slashes},
	{reading{decode: 2, backslash: true, parameters: 2}, parameters | doubled},
}

// differs reports whether a path matches another rule than chosen, and records it.
func (p *Paths[A]) differs(a *Ambiguity[A], path, clean, method []byte, fields []message.Field, query []byte, chosen *Rule[A]) bool {
	if bytes.Equal(path, clean) {
		return false
	}
	rule, _ := p.Match(path, method, fields, query)
	if rule == chosen || rule != nil && (rule.Class != 0 && rule.Class == chosen.Class || rule.Lenient && chosen.Lenient) {
		return false
	}
	a.Path, a.Rule = path, rule
	return true
}

// uniform reports whether every path matches the same class of rules, for any method.
func (p *Paths[A]) uniform() bool {
	return p.all && (p.rules == 1 || !p.mixed && p.methods == 0)
}
