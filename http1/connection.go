package http1

import "lb/message"

// MaxConnectionOptions is the maximum number of options in the Connection fields of a message. A message with more is rejected: no
// legitimate one needs them, and each field has to be compared with each option.
const MaxConnectionOptions = 16

// connection holds the options of the Connection fields of a message (RFC 9110 section 7.6.1).
type connection struct {
	close, keepAlive, upgrade bool
	count                     int // of all options
	// names are the options that may be field names, without close, keep-alive and upgrade.
	names [MaxConnectionOptions][]byte
	n     int
}

// read adds the options of one field, of which it keeps slices.
func (c *connection) read(list []byte) {
	for len(list) > 0 {
		var item []byte
		item, list = message.NextListItem(list)
		switch {
		case len(item) == 0:
			continue
		case message.EqualFold(item, "close"):
			c.close = true
		case message.EqualFold(item, "keep-alive"):
			c.keepAlive = true
		case message.EqualFold(item, "upgrade"):
			c.upgrade = true
		case c.n < len(c.names):
			c.names[c.n] = item
			c.n++
		}
		c.count++
	}
}

// mark marks the fields named by the options as hop-by-hop, and removes from Trailer fields the names that must not be forwarded.
func (c *connection) mark(fields []message.Field) {
	for i := range fields {
		if f := &fields[i]; c.name(f) {
			f.Hop = true
		} else if f.Kind == message.Trailer {
			message.CutAnnouncement(f, c.name)
		}
	}
}

// name reports whether one of the options is the name of that header or trailer field. Host and Content-Length, which route or frame
// the message, cannot be removed in this way.
func (c *connection) name(f *message.Field) bool {
	if c.n == 0 || f.Kind == message.Host || f.Kind == message.ContentLengthField {
		return false
	}
	for _, name := range c.names[:c.n] {
		if sameName(name, f.Name) {
			return true
		}
	}
	return false
}

// sameName compares field names without regard to case.
func sameName(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// Trailers returns the fields of a trailer section that may be forwarded after a head with the given fields: without those that are
// not allowed there (RFC 9110 section 6.5.1) and those that the head's Connection fields name. A malformed section is dropped as a
// whole, since parsers would read it differently.
func Trailers(section []byte, head []message.Field) []message.Field {
	if len(section) == 0 {
		return nil
	}
	fields, err := ParseFields(section, nil)
	if err != nil {
		return nil
	}
	var c connection
	for i := range head {
		if head[i].Kind == message.Connection {
			c.read(head[i].Value)
		}
	}
	kept := fields[:0]
	for i := range fields {
		if !message.ForbiddenInTrailer(&fields[i]) && !c.name(&fields[i]) {
			kept = append(kept, fields[i])
		}
	}
	return kept
}
