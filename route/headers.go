package route

import (
	"bytes"
	"strings"

	"lb/message"
)

// HeaderRules change the fields of a message on its way. The zero value and nil change nothing.
type HeaderRules struct {
	drop   []string        // names
	fields []message.Field // to append
	guard  []string        // names in lower case with hyphens
}

// Guard makes the rules take out fields of these names too, and those that many applications read as the same: with underscores or dots
// in place of hyphens. So a client cannot send what an application expects from the balancer.
func (r *HeaderRules) Guard(names []string) {
	for _, name := range names {
		r.guard = append(r.guard, strings.Map(hyphen, strings.ToLower(name)))
	}
}

func hyphen(c rune) rune {
	if c == '_' || c == '.' {
		return '-'
	}
	return c
}

// guards reports whether a field of that name is taken out because of Guard.
func (r *HeaderRules) guards(field []byte) bool {
	for _, name := range r.guard {
		if len(name) == len(field) && sameButHyphens(field, name) {
			return true
		}
	}
	return false
}

func sameButHyphens(field []byte, lower string) bool {
	for i, c := range field {
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case c == '_' || c == '.':
			c = '-'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Unguarded returns the fields without those that Guard takes out. Without a guard it returns the list itself.
func (r *HeaderRules) Unguarded(fields []message.Field) []message.Field {
	if len(r.guard) == 0 {
		return fields
	}
	var kept []message.Field
	for i := range fields {
		if !r.guards(fields[i].Name) {
			kept = append(kept, fields[i])
		}
	}
	return kept
}

// NewHeaderRules returns rules that take out what set and remove name, and then put in what
// set and add say. Fields that frame a message or name its host are neither taken out nor put in.
func NewHeaderRules(set, add []Header, remove []string) HeaderRules {
	var rules HeaderRules
	for _, name := range remove {
		rules.take(name)
	}
	for _, h := range set {
		rules.take(h.Name)
		rules.put(h)
	}
	for _, h := range add {
		rules.put(h)
	}
	return rules
}

func (r *HeaderRules) take(name string) {
	if !stays(name) {
		r.drop = append(r.drop, name)
	}
}

func (r *HeaderRules) put(h Header) {
	if !stays(h.Name) { // a second one would be read differently by different parsers
		r.fields = append(r.fields, message.NewField(h.Name, h.Value))
	}
}

func stays(name string) bool {
	kind := message.KindOf([]byte(name))
	return kind == message.ContentLengthField || kind == message.TransferEncoding || kind == message.Host
}

// Drops reports whether the rules take that field out.
func (r *HeaderRules) Drops(f *message.Field) bool {
	return len(r.drop) > 0 && r.drops(f.Name) || len(r.guard) > 0 && r.guards(f.Name)
}

func (r *HeaderRules) drops(field []byte) bool {
	for _, name := range r.drop {
		if len(name) == len(field) && bytes.EqualFold([]byte(name), field) {
			return true
		}
	}
	return false
}

// Cut takes the fields out of a list, in place. Nil changes nothing.
func (r *HeaderRules) Cut(fields []message.Field) []message.Field {
	if r == nil || len(r.drop) == 0 {
		return fields
	}
	kept := fields[:0]
	for i := range fields {
		if !r.drops(fields[i].Name) {
			kept = append(kept, fields[i])
		}
	}
	return kept
}

// Append appends the fields that the rules put in.
func (r *HeaderRules) Append(fields []message.Field) []message.Field {
	if r == nil {
		return fields
	}
	return append(fields, r.fields...)
}
