package route

import (
	"bytes"

	"lb/message"
)

// HeaderRules change the fields of a message on its way. The zero value and nil change nothing.
type HeaderRules struct {
	drop   []string        // names
	fields []message.Field // to append
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
func (r *HeaderRules) Drops(f *message.Field) bool { return len(r.drop) > 0 && r.drops(f.Name) }

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
