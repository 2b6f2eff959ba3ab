package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"lb/internal/spelling"
)

// block is a block that is being read. Every attribute and sub-block that a reading function requests becomes known;
// end reports all others.
type block struct {
	*reader
	path       string    // "site.route.proxy"; empty for the whole configuration
	at         hcl.Range // the block's type and labels
	label      string    // of a block that has one
	labelAt    hcl.Range
	attributes map[string]*hclsyntax.Attribute
	blocks     []*hclsyntax.Block

	knownAttributes []string
	knownBlocks     []string
}

// join adds a body. Only the root consists of several.
func (b *block) join(body *hclsyntax.Body) {
	for name, a := range body.Attributes {
		if first, twice := b.attributes[name]; twice {
			b.fail(a.NameRange, fmt.Sprintf("%s is set twice", name),
				fmt.Sprintf("The first time is at %v. Keep one of them.", b.pos(first.NameRange)))
			continue
		}
		b.attributes[name] = a
	}
	b.blocks = append(b.blocks, body.Blocks...)
}

// kind returns the last part of the path: the block's type.
func (b *block) kind() string { return b.path[strings.LastIndexByte(b.path, '.')+1:] }

// one returns the sub-block of that type, or nil if there is none or if it is
// not available in this version.
func (b *block) one(kind string) *block {
	found := b.find(kind)
	if len(found) == 0 {
		return nil
	}
	for _, again := range found[1:] {
		b.fail(again.DefRange(), fmt.Sprintf("a second %s block", kind),
			fmt.Sprintf("The first is at %v. Merge the two.", b.pos(found[0].DefRange())))
	}
	return b.enter(found[0], "")
}

// all returns the sub-blocks of that type. If label is not empty, each must have one label; otherwise none.
func (b *block) all(kind, label string) []*block {
	var list []*block
	if b.learn != nil && label != "" {
		b.learn.labelled[kind] = true
	}
	for _, hb := range b.find(kind) {
		if sub := b.enter(hb, label); sub != nil {
			list = append(list, sub)
		}
	}
	return list
}

func (b *block) find(kind string) []*hclsyntax.Block {
	b.knownBlocks = append(b.knownBlocks, kind)
	var found []*hclsyntax.Block
	for _, hb := range b.blocks {
		if hb.Type == kind {
			found = append(found, hb)
		}
	}
	return found
}

// enter begins a sub-block, or returns nil if it cannot be read.
func (b *block) enter(hb *hclsyntax.Block, label string) *block {
	sub := &block{reader: b.reader, path: hb.Type, at: hb.DefRange(), attributes: hb.Body.Attributes, blocks: hb.Body.Blocks}
	if b.path != "" {
		sub.path = b.path + "." + hb.Type
	}
	switch {
	case label == "" && len(hb.Labels) > 0:
		b.fail(hb.LabelRanges[0], fmt.Sprintf("%s takes no label", hb.Type), fmt.Sprintf("Write: %s { … }", hb.Type))
	case label != "" && len(hb.Labels) != 1:
		b.fail(sub.at, fmt.Sprintf("%s needs one label, %s", hb.Type, label), fmt.Sprintf("Write: %s %s { … }", hb.Type, labelExample(hb.Type)))
		return nil
	case label != "":
		sub.label, sub.labelAt = hb.Labels[0], hb.LabelRanges[0]
	}
	if !b.available(sub.path, sub.label, sub.at) {
		return nil
	}
	return sub
}

// labelExample returns what a label of such a block looks like.
func labelExample(kind string) string {
	switch kind {
	case "listen":
		return `":8080"`
	case "route":
		return `"/"`
	case "backend":
		return `"127.0.0.1:5000"`
	case "discover":
		return `"dns"`
	}
	return `"app"`
}

// end reports attributes and blocks that were not requested.
func (b *block) end() {
	if b.learn != nil {
		b.learn.add(b)
	}
	for _, name := range slices.Sorted(maps.Keys(b.attributes)) {
		if !slices.Contains(b.knownAttributes, name) {
			b.unknownAttribute(b.attributes[name])
		}
	}
	for _, hb := range b.blocks {
		if !slices.Contains(b.knownBlocks, hb.Type) {
			b.unknownBlock(hb)
		}
	}
}

func (b *block) unknownAttribute(a *hclsyntax.Attribute) {
	if slices.Contains(b.knownBlocks, a.Name) {
		b.fail(a.NameRange, fmt.Sprintf("%s is a block, not an attribute", a.Name), b.asBlock(a))
		return
	}
	b.unknown(a.NameRange, "attribute", a.Name, b.knownAttributes, b.knownBlocks)
}

// asBlock returns how to write a block that is written as an attribute.
func (b *block) asBlock(a *hclsyntax.Attribute) string {
	v, diags := a.Expr.Value(b.contexts[a.NameRange.Filename])
	if _, literal := a.Expr.(*hclsyntax.TemplateExpr); literal && !b.withheld(a.Expr.Range()) && !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		return fmt.Sprintf("Write it without the equals sign: %s %q {}", a.Name, v.AsString())
	}
	if _, list := a.Expr.(*hclsyntax.TupleConsExpr); list && b.learn == nil && b.language().labelled[a.Name] {
		return fmt.Sprintf("Write one for each: %s %s {}", a.Name, labelExample(a.Name))
	}
	if a.Name == "tls" && b.kind() == "health" && !diags.HasErrors() && v.Type() == cty.Bool && v.IsKnown() && !v.IsNull() {
		if v.True() {
			return "Write: tls {}"
		}
		return "Write it as a block: tls { enabled = false }"
	}
	inside := "…"
	if _, object := a.Expr.(*hclsyntax.ObjectConsExpr); !object && mainAttribute(a.Name) != "" {
		inside = mainAttribute(a.Name) + ` = "…"`
	}
	return fmt.Sprintf("Write it without the equals sign: %s { %s }", a.Name, inside)
}

// mainAttribute returns the attribute of a block that a bare value was probably meant for, or "".
func mainAttribute(kind string) string {
	switch kind {
	case "health":
		return "path"
	case "proxy":
		return "pool"
	case "static":
		return "root"
	case "redirect":
		return "to"
	case "respond":
		return "body"
	}
	return ""
}

func (b *block) unknownBlock(hb *hclsyntax.Block) {
	if slices.Contains(b.knownAttributes, hb.Type) {
		b.fail(hb.TypeRange, fmt.Sprintf("%s is an attribute, not a block", hb.Type), fmt.Sprintf("Write it with an equals sign: %s = …", hb.Type))
		return
	}
	b.unknown(hb.TypeRange, "block", hb.Type, b.knownBlocks, b.knownAttributes)
}

func (b *block) where() string {
	if b.path == "" {
		return ""
	}
	return " in " + b.kind()
}

// unknown reports an unknown name, with the nearest known one, or all of its kind, or all of the other kind.
func (b *block) unknown(at hcl.Range, sort, name string, same, other []string) {
	if near := nearest(name, slices.Concat(same, other)); near != "" {
		remedy := fmt.Sprintf("Write %s, or remove the %s.", near, sort)
		switch {
		case b.learn != nil: // language waits for this
		case sort == "attribute" && !slices.Contains(same, near) && b.language().labelled[near]:
			remedy = fmt.Sprintf("It is a block, one for each: %s %s {}", near, labelExample(near))
		case sort == "attribute" && !slices.Contains(same, near):
			remedy = fmt.Sprintf("It is a block: %s { … }", near)
		}
		b.fail(at, fmt.Sprintf("unknown %s %q; did you mean %q?", sort, name, near), remedy)
		return
	}
	if len(same) == 0 {
		same = other
	}
	remedy := "Remove it: this block is empty."
	if len(same) > 0 {
		remedy = "Known here: " + strings.Join(slices.Compact(slices.Sorted(slices.Values(same))), ", ")
	}
	b.fail(at, fmt.Sprintf("unknown %s %q%s", sort, name, b.where()), remedy)
}

// foreign returns our name for a name of other balancers.
func foreign(name string) string {
	switch name {
	case "bind", "frontend", "entrypoint":
		return "listen"
	case "location", "path", "handle":
		return "route"
	case "upstream", "cluster":
		return "pool"
	case "vhost", "virtual_host", "host":
		return "site"
	case "server", "endpoint", "target", "member":
		return "backend"
	case "proxy_pass", "reverse_proxy":
		return "proxy"
	case "healthcheck", "check":
		return "health"
	case "algorithm", "policy", "lb_policy":
		return "balance"
	}
	return ""
}

// nearest returns the candidate that a misspelt name probably stands for, or "".
func nearest(name string, candidates []string) string {
	if word := foreign(name); slices.Contains(candidates, word) {
		return word
	}
	return spelling.Nearest(strings.ToLower(name), candidates, spelling.Tolerance(name))
}

// names finds what is declared twice.
type names struct {
	what string // "pool"
	at   map[string]hcl.Range
}

func newNames(what string) *names { return &names{what: what, at: make(map[string]hcl.Range)} }

// claim takes a name, or reports where it was taken before.
func (n *names) claim(r *reader, name string, at hcl.Range, remedy string) bool {
	first, taken := n.at[name]
	if taken {
		r.fail(at, fmt.Sprintf("%s %q appears twice", n.what, name),
			fmt.Sprintf("The first is at %v. %s", r.pos(first), remedy))
		return false
	}
	n.at[name] = at
	return true
}
