package coding

import (
	"bytes"
	"strings"

	"lb/message"
)

// Types are media types, by which it is decided what to compress.
type Types struct {
	exact    map[string]bool
	prefixes []string // of "text/*": "text/"
	suffixes []string // of "*+json": "+json"
}

// DefaultTypes are the types that compression makes much smaller. Those of images, audio, video, archives and web fonts are not among
// them, since such content is compressed already.
var DefaultTypes = []string{
	"text/*", "*+json", "*+xml", "*+text",
	"application/json", "application/javascript", "application/xml", "application/yaml", "application/toml", "application/graphql",
	"application/x-ndjson", "application/wasm", "application/rtf", "application/dash+xml", "application/vnd.apple.mpegurl",
	"application/vnd.ms-fontobject", "application/x-javascript", "application/x-font-ttf",
	"font/ttf", "font/otf", "font/collection", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon",
}

// NewTypes returns the types of a list, each as "text/html", "text/*" or "*+json".
func NewTypes(list []string) *Types {
	t := &Types{exact: map[string]bool{}}
	for _, name := range list {
		name = strings.ToLower(name)
		switch {
		case strings.HasSuffix(name, "/*"):
			t.prefixes = append(t.prefixes, name[:len(name)-1])
		case strings.HasPrefix(name, "*+"):
			t.suffixes = append(t.suffixes, name[1:])
		default:
			t.exact[name] = true
		}
	}
	return t
}

// longestType is the longest media type, in bytes, that is looked up: 127 on each side of the slash (RFC 6838 section 4.2).
const longestType = 255

// Contains reports whether the type of a Content-Type field is among the types. Parameters are ignored.
func (t *Types) Contains(field []byte) bool {
	media, _, _ := bytes.Cut(field, []byte{';'})
	if media = message.TrimSpace(media); len(media) > longestType {
		return false
	}
	var room [longestType]byte
	lower := message.AppendLower(room[:0], media)
	if t.exact[string(lower)] {
		return true
	}
	for _, p := range t.prefixes {
		if len(lower) > len(p) && string(lower[:len(p)]) == p {
			return true
		}
	}
	for _, s := range t.suffixes {
		if len(lower) > len(s) && string(lower[len(lower)-len(s):]) == s {
			return true
		}
	}
	return false
}
