package route

import (
	"bytes"

	"lb/internal/wire"
)

// HeaderRules change the fields of a message on its way. The zero value and nil change nothing.
type HeaderRules struct {
	drop  []string // names
	block []byte   // lines to append
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
		r.block = append(r.block, h.Name+": "+h.Value+"\r\n"...)
	}
}

func stays(name string) bool {
	kind := wire.KindOf([]byte(name))
	return kind == wire.ContentLengthField || kind == wire.TransferEncoding || kind == wire.Host
}

// Drops reports whether the rules take that field out.
func (r *HeaderRules) Drops(f *wire.Field) bool { return r.drops(f.Name) }

func (r *HeaderRules) drops(field []byte) bool {
	for _, name := range r.drop {
		if len(name) == len(field) && bytes.EqualFold([]byte(name), field) {
			return true
		}
	}
	return false
}

// Cut takes the fields out of a head that the balancer made, in place: a status line and header lines.
func (r *HeaderRules) Cut(head []byte) []byte {
	if r == nil || len(r.drop) == 0 {
		return head
	}
	kept := bytes.IndexByte(head, '\n') + 1
	for rest := head[kept:]; len(rest) > 0; {
		line := rest[:bytes.IndexByte(rest, '\n')+1]
		if len(line) == 0 {
			line = rest
		}
		rest = rest[len(line):]
		if name, _, _ := bytes.Cut(line, []byte{':'}); !r.drops(name) {
			kept += copy(head[kept:], line)
		}
	}
	return head[:kept]
}

// Append appends the lines that the rules put in.
func (r *HeaderRules) Append(dst []byte) []byte {
	if r == nil {
		return dst
	}
	return append(dst, r.block...)
}
