package staticcache

import "path/filepath"

// Lookup tells what Serve would answer with, and reads no file: the path of the file on the disk if the result is
// Answered. An empty file means then a redirect to the same path with a slash at its end.
func (d *Dir) Lookup(method, path []byte) (file string, result Result, err error) {
	if string(method) != "GET" && string(method) != "HEAD" {
		return "", MethodNotAllowed, nil
	}
	clean, ok := appendClean(nil, path)
	if !ok || !d.visible(string(clean)) {
		return "", NotFound, nil
	}
	_, kind, name, _, err := d.locate(string(clean))
	switch {
	case err != nil:
		result, err = refusal(err)
		return "", result, err
	case kind == outcomeFile:
		return filepath.Join(d.path, filepath.FromSlash(name)), Answered, nil
	case kind == outcomeRedirect:
		return "", Answered, nil
	case kind == outcomeForbidden:
		return "", Forbidden, nil
	}
	return "", NotFound, nil
}
