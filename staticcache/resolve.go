package staticcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// candidate is one entry of try_files: before + the request's path + after, or without hasPath just before.
type candidate struct {
	before, after string
	hasPath       bool
	stop          bool // "=404"
}

func parseCandidate(text string, last bool) (candidate, error) {
	if strings.HasPrefix(text, "=") {
		if text != "=404" || !last {
			return candidate{}, fmt.Errorf("%q: only \"=404\" is allowed, and only as the last entry", text)
		}
		return candidate{stop: true}, nil
	}
	before, after, hasPath := strings.Cut(text, "{path}")
	if strings.ContainsAny(before+after, "{}") {
		return candidate{}, fmt.Errorf("%q: \"{path}\" is the only placeholder, and may appear once", text)
	}
	clean, ok := appendClean(nil, []byte(before+"x"+after))
	if !ok || string(clean) != strings.TrimPrefix(before+"x"+after, "/") {
		return candidate{}, fmt.Errorf("%q must be a plain path below the root", text)
	}
	before = strings.TrimPrefix(before, "/")
	if !hasPath && before == "" {
		return candidate{}, fmt.Errorf("%q names nothing", text)
	}
	return candidate{before: before, after: after, hasPath: hasPath}, nil
}

// expand returns the clean name to try for a clean path.
func (t candidate) expand(path string) string {
	switch {
	case !t.hasPath:
		return t.before
	case t.before == "" && t.after == "":
		return path
	case isDir(path):
		return t.before + path + strings.TrimPrefix(t.after, "/")
	}
	return t.before + path + t.after
}

// outcome is the kind of file that a path leads to.
type outcome int

const (
	outcomeMissing outcome = iota
	outcomeForbidden
	outcomeRedirect // a directory that was requested without its slash
	outcomeFile
	outcomeListing // a directory without an index
)

// resolve finds the file for a clean path. An error means that the disk could not be read.
func (d *Dir) resolve(root *os.Root, path string) (outcome, string, os.FileInfo, error) {
	missing := outcomeMissing
	for _, t := range d.try {
		if t.stop {
			break
		}
		name := t.expand(path)
		if t.hasPath && !d.visible(name) {
			continue
		}
		info, err := root.Stat(statName(name))
		switch {
		case err == nil && !isDir(name) && info.Mode().IsRegular():
			return outcomeFile, name, info, nil
		case err == nil && isDir(name) && info.IsDir():
			if name != path && name == path+"/" {
				return outcomeRedirect, "", nil, nil
			}
			file, info, err := d.indexOf(root, name)
			if err != nil {
				return outcomeMissing, "", nil, err
			}
			if info != nil {
				return outcomeFile, file, info, nil
			}
			if d.browse {
				return outcomeListing, name, nil, nil
			}
		case err == nil: // another kind of file
		case errors.Is(err, fs.ErrPermission):
			missing = outcomeForbidden
		case transient(err):
			return outcomeMissing, "", nil, err
		}
	}
	return missing, "", nil, nil
}

// indexOf finds the index file of a directory; without one the info is nil.
func (d *Dir) indexOf(root *os.Root, dir string) (string, os.FileInfo, error) {
	for _, index := range d.index {
		info, err := root.Stat(dir + index)
		if err == nil && info.Mode().IsRegular() {
			return dir + index, info, nil
		}
		if err != nil && transient(err) {
			return "", nil, err
		}
	}
	return "", nil, nil
}

// statName is the name that os.Root knows a clean path by.
func statName(path string) string {
	if path = strings.TrimSuffix(path, "/"); path == "" {
		return "."
	}
	return path
}

// transient reports whether an error is not due to the file: a resource of the process or the system is exhausted, the
// disk failed, or the root was replaced meanwhile.
func transient(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.EINTR, os.ErrClosed} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
