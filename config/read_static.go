package config

import (
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// immutable is the Cache-Control of files whose content never changes: a year, and no validation (RFC 8246).
const immutable = "public, max-age=31536000, immutable"

// readCacheControls reads cache_control_for and immutable.
func readCacheControls(b *block, s *Static) {
	for _, e := range b.entries("cache_control_for", `"*.html" = "no-cache"`) {
		if !b.passes("a name in cache_control_for", e.name, e.nameAt, []textCheck{filePattern}) {
			continue
		}
		if e.value.IsNull() || e.value.Type() != cty.String {
			b.wrongType(e.valueAt, e.shown, e.value, fmt.Sprintf("Write a string in quotes: %q = \"no-cache\"", e.shown))
			continue
		}
		if v := e.value.AsString(); b.passes(e.shown, v, e.valueAt, []textCheck{headerValue}) {
			s.CacheControls = append(s.CacheControls, CacheControl{e.name, v})
		}
	}
	var forever []string
	b.texts("immutable", "/assets/*", &forever, filePattern)
	for _, pattern := range forever {
		s.CacheControls = append(s.CacheControls, CacheControl{pattern, immutable})
	}
}

// filePattern requires a pattern of files: "*.css", or "/assets/*" for a path below root.
func filePattern(s string) (problem, remedy string) {
	switch {
	case s == "":
		return "is empty", `Write a pattern of names or of paths below root: "*.css", "/assets/*"`
	case len(s) > 255:
		return "is longer than 255 bytes", "Shorten it."
	case strings.Contains(s, "/") && s[0] != '/':
		return fmt.Sprintf("does not begin with a slash: %q", s), fmt.Sprintf("Write: %q", "/"+s)
	case strings.ContainsAny(s, "[]{}\\"):
		return fmt.Sprintf("has a character with no meaning in it: %q", s), `Only "*" and "?" stand for other characters. Write each pattern by itself: "*.css", "*.js"`
	}
	return noNUL(s)
}
