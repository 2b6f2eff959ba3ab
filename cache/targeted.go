package cache

import "lb/message"

// targeted reads a targeted field, such as CDN-Cache-Control: a Dictionary of Structured Fields (RFC 9213 section 2.1, RFC 8941 section
// 3.2). ok is false if it is empty or not a dictionary; then Cache-Control holds instead. Values of another type than a directive has are
// ignored.
func targeted(list []byte) (c control, ok bool) {
	c = noControl()
	p := fieldParser{list}
	for p.spaces(); len(p.rest) > 0; {
		name := p.key()
		if name == nil {
			return c, false
		}
		number, isTrue, good := int64(none), true, true
		if p.take('=') {
			number, isTrue, good = p.item()
		}
		if !good || !p.parameters() {
			return c, false
		}
		c.setTargeted(name, number, isTrue)
		p.spaces()
		if len(p.rest) == 0 {
			break
		}
		if !p.take(',') {
			return c, false
		}
		if p.spaces(); len(p.rest) == 0 {
			return c, false
		}
	}
	return c, c.any
}

// setTargeted sets a directive. Of one that is repeated the last holds.
func (c *control) setTargeted(name []byte, number int64, isTrue bool) {
	c.any = true
	switch string(name) {
	case "max-age":
		if number != none {
			c.maxAge = number
		}
	case "s-maxage":
		if number != none {
			c.sharedMaxAge = number
		}
	case "stale-while-revalidate":
		c.staleWhileRevalidate = number
	case "stale-if-error":
		c.staleIfError = number
	default:
		if isTrue {
			c.set(name, nil)
		}
	}
}

// fieldParser reads Structured Fields as far as cache directives need them.
type fieldParser struct{ rest []byte }

func (p *fieldParser) spaces() { p.rest = message.TrimSpace(p.rest) }

// take removes a byte if it comes next.
func (p *fieldParser) take(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// key reads a key, nil if none follows.
func (p *fieldParser) key() []byte {
	i := 0
	for i < len(p.rest) {
		c := p.rest[i]
		letter := 'a' <= c && c <= 'z' || c == '*'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-' && c != '.') {
			break
		}
		i++
	}
	if i == 0 {
		return nil
	}
	key := p.rest[:i]
	p.rest = p.rest[i:]
	return key
}

// item reads a bare item. number is none unless it is an integer of 0 or more; isTrue says that it is ?1.
func (p *fieldParser) item() (number int64, isTrue, ok bool) {
	number = none
	if len(p.rest) == 0 {
		return number, false, false
	}
	switch c := p.rest[0]; {
	case c == '?':
		if len(p.rest) < 2 || p.rest[1] != '0' && p.rest[1] != '1' {
			return number, false, false
		}
		isTrue = p.rest[1] == '1'
		p.rest = p.rest[2:]
		return number, isTrue, true
	case c == '"':
		for i := 1; i < len(p.rest); i++ {
			switch p.rest[i] {
			case '\\':
				i++
			case '"':
				p.rest = p.rest[i+1:]
				return number, false, true
			}
		}
		return number, false, false
	case c == '-' || '0' <= c && c <= '9':
		i := 1
		for i < len(p.rest) && ('0' <= p.rest[i] && p.rest[i] <= '9' || p.rest[i] == '.') {
			i++
		}
		number = seconds(p.rest[:i]) // none for a decimal or negative number
		p.rest = p.rest[i:]
		return number, false, i <= 16
	case message.IsTokenByte(c):
		i := 1
		for i < len(p.rest) && (message.IsTokenByte(p.rest[i]) || p.rest[i] == ':' || p.rest[i] == '/') {
			i++
		}
		p.rest = p.rest[i:]
		return number, false, true
	}
	return number, false, false
}

// parameters skips the parameters of an item.
func (p *fieldParser) parameters() bool {
	for p.take(';') {
		p.spaces()
		if p.key() == nil {
			return false
		}
		if p.take('=') {
			if _, _, ok := p.item(); !ok {
				return false
			}
		}
	}
	return true
}
