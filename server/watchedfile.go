package server

import (
	"errors"
	"os"

	"github.com/hashicorp/go-hclog"
)

// watchedFile is a file whose content is used again whenever it was replaced.
type watchedFile struct {
	path      string
	attribute string                  // of the configuration, for the log
	use       func(text []byte) error // on an error what was used before stays in use
	info      os.FileInfo             // when it was read last
}

func (f *watchedFile) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.info = info
	if !info.Mode().IsRegular() { // opening a pipe could block, and a device never end
		return errors.New("it is not a regular file")
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	return f.use(text)
}

// look reads the file again if it has changed, and reports whether its content is used now.
func (f *watchedFile) look(log hclog.Logger) bool {
	info, err := os.Stat(f.path)
	if err != nil || os.SameFile(info, f.info) && info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() {
		return false // a file that was removed may come back; a reload reports that it was removed
	}
	if err := f.read(); err != nil {
		f.info = info
		log.Error("cannot use a file that was replaced; what it had before stays in use", "attribute", f.attribute, "file", f.path, "error", err)
		return false
	}
	log.Info("a file was replaced", "attribute", f.attribute, "file", f.path)
	return true
}
