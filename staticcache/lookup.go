package staticcache

import "path/filepath"

// Lookup returns what Serve would send, without reading a file: the path of the file on the disk if the result is
// Served. An empty path then means a redirect to the same path with a slash at its end, and one that ends in a slash is that of a
// directory that is listed.
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
		return filepath.Join(d.path, filepath.FromSlash(name)), Served, nil
	case kind == outcomeListing:
		return filepath.Join(d.path, filepath.FromSlash(name)) + string(filepath.Separator), Served, nil
	case kind == outcomeRedirect:
		return "", Served, nil
	case kind == outcomeForbidden:
		return "", Forbidden, nil
	}
	return "", NotFound, nil
}
