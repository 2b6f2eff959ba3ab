package config

import (
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"lb/filter"
)

// vocabulary has all names that the reading functions request. Diagnostics of broken syntax use it where nothing can
// be evaluated: to distinguish attributes from blocks, and to know which values must not be shown.
type vocabulary struct {
	attributes map[string][]string // by the kind of the block around; "" is the whole configuration
	blocks     map[string][]string
	labelled   map[string]bool // kinds of blocks that have a label
	flags      map[string]bool // attributes that are true or false
	sizes      map[string]bool // attributes that are a number of bytes
	files      map[string]bool // attributes that name a file
	headers    map[string]bool // attributes that are a map of header fields
	secrets    map[string]bool // attributes whose value is never shown
}

// language returns the vocabulary. It is learned once from the reading functions, by having them read a configuration
// with every block.
func (o *options) language() *vocabulary {
	if o.words != nil {
		return o.words()
	}
	learning.Do(func() { learned = learnVocabulary(nil) })
	return learned
}

// These hold the vocabulary without extensions, which is constant.
var (
	learning sync.Once
	learned  *vocabulary
)

func learnVocabulary(extensions []filter.Extension) *vocabulary {
	v := &vocabulary{attributes: map[string][]string{}, blocks: map[string][]string{}, labelled: map[string]bool{}, flags: map[string]bool{},
		sizes: map[string]bool{}, files: map[string]bool{}, headers: map[string]bool{}, secrets: map[string]bool{}}
	for known := -1; known < len(v.blocks); { // each round reaches blocks within those of the last round
		known = len(v.blocks)
		sources := []Source{{Name: "all.hcl", Text: []byte(v.sample("", 0))}}
		r := newReader(sources)
		r.withoutFiles, r.everything, r.extensions, r.learn = true, true, extensions, v
		file, diags := hclsyntax.ParseConfig(sources[0].Text, sources[0].Name, hcl.InitialPos)
		if diags.HasErrors() {
			panic(diags) // only if sample is broken
		}
		root := &block{reader: r, attributes: map[string]*hclsyntax.Attribute{}}
		root.at.Filename = sources[0].Name
		root.join(file.Body.(*hclsyntax.Body))
		readConfig(root)
	}
	return v
}

// sample returns the text of all known blocks within a block of that kind.
func (v *vocabulary) sample(kind string, depth int) string {
	var text strings.Builder
	if depth > 8 { // no block contains itself
		return ""
	}
	for _, inner := range v.blocks[kind] {
		labels := []string{""}
		switch {
		case inner == "discover":
			labels = []string{`"dns"`, `"file"`, `"docker"`, `"consul"`}
		case v.labelled[inner]:
			labels = []string{labelExample(inner)}
		}
		for _, label := range labels {
			text.WriteString(inner + " " + label + " {\n" + v.sample(inner, depth+1) + "}\n")
		}
	}
	return text.String()
}

// add records the names that were requested of a block.
func (v *vocabulary) add(b *block) {
	kind := b.kind()
	for _, name := range b.knownAttributes {
		if !slices.Contains(v.attributes[kind], name) {
			v.attributes[kind] = append(v.attributes[kind], name)
		}
	}
	if v.blocks[kind] == nil {
		v.blocks[kind] = []string{}
	}
	for _, name := range b.knownBlocks {
		if !slices.Contains(v.blocks[kind], name) {
			v.blocks[kind] = append(v.blocks[kind], name)
		}
	}
}

func (r *repairer) kind() string {
	if len(r.within) == 0 {
		return ""
	}
	return r.within[len(r.within)-1]
}

// isAttribute reports whether there is an attribute of that name, in this block if it knows the name at all.
func (r *repairer) isAttribute(name string) bool {
	v := r.words
	if slices.Contains(v.attributes[r.kind()], name) {
		return true
	}
	return !slices.Contains(v.blocks[r.kind()], name) && anywhere(v.attributes, name)
}

// isBlock is isAttribute for blocks.
func (r *repairer) isBlock(name string) bool {
	v := r.words
	if slices.Contains(v.blocks[r.kind()], name) {
		return true
	}
	return !slices.Contains(v.attributes[r.kind()], name) && anywhere(v.blocks, name)
}

func (r *repairer) isFlag(name string) bool { return r.words.flags[name] }

func anywhere(names map[string][]string, name string) bool {
	for _, list := range names {
		if slices.Contains(list, name) {
			return true
		}
	}
	return false
}
