package config

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// elements evaluates a list to its values and their places.
func (b *block) elements(name, example string) (values []cty.Value, places []hcl.Range, ok bool) {
	v, at, ok := b.value(name)
	if !ok {
		return nil, nil, false
	}
	if t := v.Type(); !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		if t == cty.String && !b.withheld(at) {
			if words := strings.FieldsFunc(v.AsString(), func(c rune) bool { return c == ',' || c == ' ' }); len(words) > 0 {
				example = quoteAll(words)
			}
		}
		b.wrongType(at, name, v, fmt.Sprintf("Write a list in brackets: %s = [%s]", name, example))
		return nil, nil, false
	}
	values = v.AsValueSlice()
	places = make([]hcl.Range, len(values))
	literal, _ := b.attributes[name].Expr.(*hclsyntax.TupleConsExpr)
	for i := range places {
		places[i] = at
		if literal != nil && len(literal.Exprs) == len(values) {
			places[i] = literal.Exprs[i].Range()
		}
	}
	return values, places, true
}

// texts reads a list of texts, each of which passes the checks.
func (b *block) texts(name, example string, to *[]string, checks ...textCheck) {
	values, places, ok := b.elements(name, fmt.Sprintf("%q", example))
	if !ok {
		return
	}
	list := make([]string, 0, len(values))
	for i, v := range values {
		if v.IsNull() || v.Type() != cty.String {
			b.wrongType(places[i], "an entry of "+name, v, fmt.Sprintf("Write strings in quotes: %s = [%q]", name, example))
			continue
		}
		if s := v.AsString(); b.passes("an entry of "+name, s, places[i], checks) {
			list = append(list, s)
		}
	}
	*to = list
}

// prefixes reads a list of networks; a single address is a network of one.
func (b *block) prefixes(name string, to *[]netip.Prefix) {
	var list []string
	b.texts(name, "10.0.0.0/8", &list, func(s string) (string, string) {
		p, err := parsePrefix(s)
		if err == nil && p != p.Masked() {
			return fmt.Sprintf("is not a network: %q has host bits after the first %d", s, p.Bits()),
				fmt.Sprintf("Write %q for the network, or %q for the single address.", p.Masked(), p.Addr())
		}
		if err != nil {
			return fmt.Sprintf("is not a network: %q", s), "Write it as address/bits: \"10.0.0.0/8\", \"2001:db8::/32\", or a single address: \"192.0.2.7\""
		}
		return "", ""
	})
	for _, s := range list {
		p, _ := parsePrefix(s)
		*to = append(*to, p)
	}
}

// entry is one name = value of a map.
type entry struct {
	name    string
	shown   string // the name, for messages
	nameAt  hcl.Range
	value   cty.Value
	valueAt hcl.Range
}

// entries evaluates a map, in the order in which it is written.
func (b *block) entries(name, example string) []entry {
	v, at, ok := b.value(name)
	if !ok {
		return nil
	}
	if t := v.Type(); !t.IsObjectType() && !t.IsMapType() {
		b.wrongType(at, name, v, fmt.Sprintf("Write a map in braces: %s = { %s }", name, example))
		return nil
	}
	var list []entry
	if literal, ok := b.attributes[name].Expr.(*hclsyntax.ObjectConsExpr); ok {
		seen := newNames("name")
		for _, item := range literal.Items {
			k, ok1 := b.evaluate(item.KeyExpr)
			val, ok2 := b.evaluate(item.ValueExpr)
			if !ok1 || !ok2 || k.IsNull() {
				continue // not reached: it was evaluated without an error above
			}
			e := entry{plain(k), plain(k), item.KeyExpr.Range(), val, item.ValueExpr.Range()}
			if b.learn == nil && b.withheld(e.nameAt) {
				e.shown = "…"
			}
			if seen.claim(b.reader, strings.ToLower(e.name), e.nameAt, "Keep one of them.") {
				list = append(list, e)
			}
		}
		return list
	}
	for it := v.ElementIterator(); it.Next(); {
		k, val := it.Element()
		list = append(list, entry{k.AsString(), "…", at, val, at})
	}
	return list
}
