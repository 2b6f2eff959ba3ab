package cache

import (
	"errors"
	"slices"
	"strings"
)

// Purge says which responses to remove. Exactly one of its members is set.
type Purge struct {
	URL    string // http://host/path?query; without a scheme too, or a path alone, for all hosts
	Prefix string // of a URL, likewise
	Tag    string // in Cache-Tag or Surrogate-Key
}

var errPurge = errors.New(`give one of url, prefix and tag, such as {"url":"https://example.com/page"}`)

// Purge removes responses and returns how many. A response that is being received meanwhile is not stored.
func (c *Cache) Purge(p Purge) (removed int, err error) {
	given := 0
	for _, s := range [...]string{p.URL, p.Prefix, p.Tag} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return 0, errPurge
	}
	host, target := splitURL(p.URL + p.Prefix)
	c.purges.Add(1)
	for key, value := range c.section.All() {
		var own, path string
		var tags []string
		switch v := value.(type) {
		case *Entry:
			own, path, tags = v.host, v.target, v.tags
		case *index:
			own, path = v.host, v.target
		}
		here := path != "" && (own == "" || host == "" || own == host)
		switch {
		case p.Tag != "" && !slices.Contains(tags, p.Tag),
			p.URL != "" && !(here && path == target),
			p.Prefix != "" && !(here && strings.HasPrefix(path, target)):
			continue
		}
		if _, ok := value.(*Entry); ok {
			removed++
		}
		c.section.Delete(key)
	}
	return removed, nil
}

// splitURL returns the host and the target of a URL, as entries have them. The host is empty if there is none.
func splitURL(url string) (host, target string) {
	rest, secure := url, false
	if after, ok := strings.CutPrefix(rest, "http://"); ok {
		rest = after
	} else if after, ok := strings.CutPrefix(rest, "https://"); ok {
		rest, secure = after, true
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	host, target = rest[:end], rest[end:]
	if fragment := strings.IndexByte(target, '#'); fragment >= 0 {
		target = target[:fragment]
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	return string(appendHost(nil, []byte(host), secure)), target
}
