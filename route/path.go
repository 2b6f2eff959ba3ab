package route

import "bytes"

// SplitTarget cuts a request target (RFC 9112 section 3.2) into its path and its query, as
// written. The query keeps its "?" and is empty if there is none; the authority of an
// absolute-form target is left out.
func SplitTarget(target []byte) (path, query []byte) {
	if len(target) > 0 && target[0] != '/' && target[0] != '*' {
		if i := bytes.Index(target, []byte("://")); i >= 0 {
			target = target[i+3:]
			i = bytes.IndexAny(target, "/?")
			switch {
			case i < 0:
				return []byte("/"), nil
			case target[i] == '?':
				return []byte("/"), target[i:]
			}
			target = target[i:]
		}
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		return target[:i], target[i:]
	}
	return target, nil
}

// CleanPath returns the path that rules and files are matched by: percent-decoded once, "//" and
// "/./" collapsed, "/../" resolved. The request itself is passed on as it was written.
// It returns path itself where nothing is to be done, else what it appended to scratch.
// ok is false for a path with a malformed escape, an encoded NUL, or one that climbs out of the root.
func CleanPath(scratch, path []byte) (clean []byte, ok bool) {
	if isClean(path) {
		return path, true
	}
	out := scratch[:0]
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) {
				return nil, false
			}
			hi, lo := unhex(path[i+1]), unhex(path[i+2])
			if hi < 0 || lo < 0 || hi|lo == 0 {
				return nil, false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		out = append(out, c)
	}
	return resolve(out)
}

// isClean reports whether path has no escape and no segment that is empty, "." or "..".
func isClean(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return len(path) == 1 && path[0] == '*'
	}
	for i, c := range path {
		if c == '%' || i > 0 && path[i-1] == '/' && (c == '/' || c == '.') {
			return false
		}
	}
	return true
}

// resolve collapses empty and dot segments in place.
func resolve(path []byte) ([]byte, bool) {
	if len(path) == 0 || path[0] != '/' {
		return nil, false
	}
	w := 0 // path[:w] is done and ends before a slash
	for r := 0; r < len(path); {
		end := bytes.IndexByte(path[r+1:], '/')
		last := end < 0
		if last {
			end = len(path)
		} else {
			end += r + 1
		}
		switch segment := path[r+1 : end]; {
		case len(segment) == 0 && !last, len(segment) == 1 && segment[0] == '.' && !last:
		case len(segment) == 0, len(segment) == 1 && segment[0] == '.':
			path[w] = '/'
			w++
		case len(segment) == 2 && segment[0] == '.' && segment[1] == '.':
			if w == 0 {
				return nil, false
			}
			w = bytes.LastIndexByte(path[:w], '/')
			if last {
				path[w] = '/'
				w++
			}
		default:
			w += copy(path[w:], path[r:end])
		}
		r = end
	}
	return path[:w], true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
