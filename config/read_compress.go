package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"lb/internal/coding"
)

// readCompress reads "compress = true", or the block of that name.
func readCompress(b *block) *Compress {
	on := false
	b.flag("compress", &on)
	c := defaultCompress()
	c.Pos = b.pos(b.place("compress"))
	inner := b.one("compress")
	if inner != nil {
		c.Pos = b.pos(inner.at)
		inner.texts("types", "text/html", &c.Types, mediaTypes)
		inner.size("min_size", &c.MinSize, 0, 1<<30)
		inner.number("level", &c.Level, coding.LeastLevel, coding.MostLevel)
		inner.end()
		if len(c.Types) == 0 {
			b.fail(inner.place("types"), "types is empty", `Write: types = ["text/*", "application/json"]`)
		}
		if b.written("compress") {
			b.fail(b.place("compress"), "compress is written as an attribute and as a block", "Keep one of them.")
		}
	}
	if !on && inner == nil {
		return nil
	}
	if !b.everything && !b.hasBlock("proxy") {
		at := b.place("compress")
		if inner != nil {
			at = inner.at
		}
		remedy := "Remove it: only responses of backends are compressed."
		if b.hasBlock("static") {
			remedy = "Write it in the static block: compress = true"
		}
		b.fail(at, "compress is for routes with proxy", remedy)
	}
	return &c
}

// hasBlock reports whether a block of that kind is written.
func (b *block) hasBlock(kind string) bool {
	return slices.ContainsFunc(b.blocks, func(hb *hclsyntax.Block) bool { return hb.Type == kind })
}

// mediaTypes requires "text/html", "text/*" or "*+json".
func mediaTypes(s string) (problem, remedy string) {
	kind, sub, found := strings.Cut(s, "/")
	suffix, isSuffix := strings.CutPrefix(s, "*+")
	switch {
	case isSuffix && isToken(suffix):
	case !found || !isToken(kind) || strings.Contains(kind, "*") || !isToken(sub) || strings.Contains(sub, "*") && sub != "*":
		return fmt.Sprintf("is not a media type: %q", s), `Write a type, all of a kind, or all with a suffix: "text/html", "text/*", "*+json"`
	}
	if strings.HasPrefix(strings.ToLower(s), "application/grpc") {
		return fmt.Sprintf("cannot be %q: gRPC compresses its messages itself", s), "Remove it."
	}
	return "", ""
}
