package staticcache

import (
	"path"
	"strings"
)

// cacheControlOf returns the value of Cache-Control for a file; "": none.
func (d *Dir) cacheControlOf(name string) string {
	for i := range d.cacheControl {
		if matchesFile(d.cacheControl[i].Pattern, name) {
			return d.cacheControl[i].Value
		}
	}
	return ""
}

// matchesFile reports whether a pattern matches a file with that clean path. In a pattern, "*" stands for any characters, slashes
// included, and "?" for one. A pattern without a slash is for the name of the file, one with a slash for its whole path below the root.
func matchesFile(pattern, file string) bool {
	if !strings.Contains(pattern, "/") {
		return like(pattern, path.Base(file))
	}
	return like(strings.TrimPrefix(pattern, "/"), file)
}

// like reports whether a text has the form of a pattern. The time is at most proportional to the product of their lengths.
func like(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0 // the last "*", and where in the text the search behind it goes on
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
