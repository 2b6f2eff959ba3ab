package staticcache

import (
	"bytes"
	"strings"
)

// maxPath is the longest path, in bytes, that the kernel accepts.
const maxPath = 4096

// appendClean appends p to dst as the name of a file below the root: without a leading slash, with
// "//" merged and "." and ".." applied, as nginx does it. A name that ends in a slash, or the empty one,
// is a directory's. It reports false for a path that leads above the root at any point, has a NUL or a backslash, or is
// too long.
func appendClean(dst, p []byte) ([]byte, bool) {
	if len(p) > maxPath {
		return dst, false
	}
	base := len(dst)
	for i := 0; i <= len(p); {
		j := i
		for ; j < len(p) && p[j] != '/'; j++ {
			if p[j] == 0 || p[j] == '\\' {
				return dst, false
			}
		}
		switch segment := p[i:j]; string(segment) {
		case "", ".":
		case "..":
			if len(dst) == base {
				return dst, false
			}
			dst = dst[:len(dst)-1] // the slash
			for len(dst) > base && dst[len(dst)-1] != '/' {
				dst = dst[:len(dst)-1]
			}
		default:
			dst = append(dst, segment...)
			if j < len(p) {
				dst = append(dst, '/')
			}
		}
		i = j + 1
	}
	return dst, true
}

// hidden reports whether a clean path has a segment that begins with a dot, other than .well-known (RFC 8615).
func hidden(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(segment, ".") && segment != ".well-known" {
			return true
		}
	}
	return false
}

// isDir reports whether a clean path can only name a directory.
func isDir(path string) bool { return path == "" || path[len(path)-1] == '/' }

// appendLocation appends the target of a request with a slash after its path, the query kept.
//
// The result begins with exactly one slash: a browser takes "//host/" and "/\host/" for another
// site. It strips tabs and line ends before it looks, so they are escaped.
func appendLocation(dst, target []byte) []byte {
	target = originForm(target)
	for len(target) > 0 && (target[0] == '/' || target[0] == '\\') {
		target = target[1:]
	}
	dst = append(dst, '/')
	path, query, found := bytes.Cut(target, []byte("?"))
	dst = appendEscaped(dst, path)
	if dst[len(dst)-1] != '/' {
		dst = append(dst, '/')
	}
	if found {
		dst = append(dst, '?')
		dst = appendEscaped(dst, query)
	}
	return dst
}

// appendEscaped appends a piece of a target and escapes the bytes that no target holds.
func appendEscaped(dst, piece []byte) []byte {
	const hex = "0123456789ABCDEF"
	for _, c := range piece {
		if c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '"' || c == '<' || c == '>' {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// originForm cuts scheme and authority from a target in absolute form (RFC 9112 section 3.2.2).
func originForm(target []byte) []byte {
	if len(target) > 0 && target[0] == '/' {
		return target
	}
	if _, rest, ok := bytes.Cut(target, []byte("://")); ok {
		if i := bytes.IndexAny(rest, "/?"); i >= 0 {
			return rest[i:]
		}
		return nil
	}
	return target
}
