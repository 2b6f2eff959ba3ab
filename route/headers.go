package route

import (
	"bytes"

	"lb/internal/wire"
)

// HeaderRules change the fields of a message on its way. The zero value changes nothing.
type HeaderRules struct {
	drop  []string // names
	block []byte   // lines to append
}

// NewHeaderRules returns rules that take out what set and remove name, and then put in what
// set and add say. Fields that frame a message or name its host are neither taken out nor put in.
func NewHeaderRules(set, add []Header, remove []string) HeaderRules {
	var rules HeaderRules
	rules.drop = append(rules.drop, remove...)
	for _, h := range set {
		rules.drop = append(rules.drop, h.Name)
		rules.put(h)
	}
	for _, h := range add {
		rules.put(h)
	}
	return rules
}

func (r *HeaderRules) put(h Header) {
	if stays(wire.KindOf([]byte(h.Name))) {
		return // a second one would be read differently by different parsers
	}
	r.block = append(r.block, h.Name+": "+h.Value+"\r\n"...)
}

// Drops reports whether the rules take that field out.
func (r *HeaderRules) Drops(f *wire.Field) bool {
	if len(r.drop) == 0 || stays(f.Kind) {
		return false
	}
	for _, name := range r.drop {
		if len(name) == len(f.Name) && bytes.EqualFold([]byte(name), f.Name) {
			return true
		}
	}
	return false
}

func stays(kind wire.Kind) bool {
	return kind == wire.ContentLengthField || kind == wire.TransferEncoding || kind == wire.Host
}

// Append appends the lines that the rules put in.
func (r *HeaderRules) Append(dst []byte) []byte { return append(dst, r.block...) }
