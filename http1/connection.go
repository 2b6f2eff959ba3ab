package http1

import "lb/message"

// MaxConnectionOptions is the most options that the Connection fields of a message may name. A message with more is
// refused: no sane one has them, and each field is compared with each.
const MaxConnectionOptions = 16

// connection is what the Connection fields of a message say (RFC 9110 section 7.6.1).
type connection struct {
	close, keepAlive, upgrade bool
	count                     int // of all options
	// names are the options that may be those of fields. Those that are no fields, or are left out anyway, are not among
	// them.
	names [MaxConnectionOptions][]byte
	n     int
}

// read takes the options of one field, of which it keeps slices.
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

// mark marks the fields that the options name, and leaves in Trailer fields the names that may be announced.
func (c *connection) mark(fields []message.Field) {
	for i := range fields {
		if f := &fields[i]; c.name(f) {
			f.Hop = true
		} else if f.Kind == message.Trailer {
			c.cutAnnouncement(f)
		}
	}
}

// name reports whether one of the options is the name of that header or trailer field. What frames or routes a
// message cannot be taken away so.
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

// maxAnnounced bounds what is looked at of a Trailer field, which is only a hint.
const maxAnnounced = 100

// cutAnnouncement makes a Trailer field a list without gaps and without the names of what is taken out of the trailer
// section: some parsers refuse a whole message for them. Where nothing is left of it, the field is not passed on.
func (c *connection) cutAnnouncement(f *message.Field) {
	line := make([]byte, 0, len(f.Line)+len(f.Value)+len("\r\n"))
	line = append(line, f.Name...)
	separator := ": "
	count := 0
	for list := f.Value; len(list) > 0 && count < maxAnnounced; count++ {
		var name []byte
		name, list = message.NextListItem(list)
		named := message.Field{Name: name, Kind: message.KindOf(name)}
		if message.IsToken(name) && !message.ForbiddenInTrailer(&named) && !c.name(&named) {
			line = append(append(line, separator...), name...)
			separator = ", "
		}
	}
	if separator == ": " {
		f.Hop = true
		return
	}
	f.Line = append(line, '\r', '\n')
	f.Name, f.Value = f.Line[:len(f.Name)], f.Line[len(f.Name)+len(": "):len(line)]
}

// Trailers returns the fields of a trailer section that may be passed on, behind a head with those fields: not those that
// may not stand there (RFC 9110 section 6.5.1), nor those that the head names in Connection. What no parser would read the
// same is left out, and with it all the rest.
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
