package config

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// destinations are what a browser does with a file that a page needs, by the file's extension (the attribute "as" of a link).
var destinations = map[string]string{
	".css": "style", ".js": "script", ".mjs": "script",
	".woff2": "font", ".woff": "font", ".ttf": "font", ".otf": "font",
	".png": "image", ".jpg": "image", ".jpeg": "image", ".gif": "image", ".webp": "image", ".avif": "image", ".svg": "image", ".ico": "image",
}

func readHints(b *block) []string {
	var list []string
	if b.texts("hints", "/app.css", &list, hint); len(list) == 0 {
		return nil
	}
	return list
}

// hint requires a path whose extension says what it is, perhaps with a query, or an origin.
func hint(s string) (problem, remedy string) {
	const example = `Write the path of a style sheet, script, font or image, or an origin to connect to: "/app.css", "https://cdn.example.com"`
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`<>"\{}|^`+"`", c) >= 0 {
			return fmt.Sprintf("has a character that no URL has: %q", s), "Percent-encode it."
		}
	}
	if len(s) > 2048 {
		return "is longer than 2048 bytes", "Shorten it."
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || s == "":
		return fmt.Sprintf("is not a path: %q", s), example
	case u.Scheme == "https" || u.Scheme == "http":
		if u.Host == "" || u.User != nil || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" {
			return fmt.Sprintf("is not an origin: %q", s), "Write a scheme and a host: \"https://cdn.example.com\""
		}
	case s[0] != '/' || strings.HasPrefix(s, "//"):
		return fmt.Sprintf("does not begin with a single slash: %q", s), example
	case destinations[strings.ToLower(path.Ext(u.Path))] == "":
		return fmt.Sprintf("is no style sheet, script, font or image by its extension: %q", s), example
	}
	return "", ""
}

// HintLinks returns the Link values of the route's hints (RFC 8288).
func (t *Route) HintLinks() (links []string) {
	for _, s := range t.Hints {
		u, err := url.Parse(s)
		if err != nil {
			continue // not reached: hint has parsed it
		}
		link := "<" + s + ">; rel=preconnect"
		if u.Scheme == "" {
			as := destinations[strings.ToLower(path.Ext(u.Path))]
			link = "<" + s + ">; rel=preload; as=" + as
			if as == "font" { // browsers request fonts in this mode, and would load them twice otherwise
				link += "; crossorigin"
			}
		}
		links = append(links, link)
	}
	return links
}
