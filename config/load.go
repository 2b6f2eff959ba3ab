// Package config reads the configuration: from HCL to plain structs with all defaults filled in, and diagnostics that
// say what is wrong where, and what to write instead.
//
// Each block of the language has one reading function. It requests the block's attributes and sub-blocks by name,
// each with its destination and its range; everything else is unknown and reported.
//
// All file names in a Config are absolute or relative to the working directory; in a file they are relative to that
// file's directory.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"lb/filter"
)

// Source is one configuration file in memory.
type Source struct {
	Name string // for diagnostics; relative paths begin in its directory
	Text []byte
}

// Option changes how a configuration is checked.
type Option func(*options)

type options struct {
	withoutFiles bool
	showMisspelt bool
	everything   bool // for tests: also reads what this version does not serve
	extensions   []filter.Extension
	words        func() *vocabulary // with that of the extensions; nil: there are none
}

// WithoutFileChecks skips all checks of files that the configuration names (certificates, pages, roots). file("…")
// still reads.
func WithoutFileChecks() Option { return func(o *options) { o.withoutFiles = true } }

// ShowMisspelt makes diagnostics show the value of an unknown attribute whose name is close to a known one's, but not
// that of a secret. Use it only for output to the user who checks the file: logs and responses of the API have other readers.
func ShowMisspelt() Option { return func(o *options) { o.showMisspelt = true } }

// Load reads a file, or a directory whose *.hcl files are read in name order as
// one configuration. The Config is nil if the diagnostics have errors.
func Load(path string, opts ...Option) (*Config, Diagnostics) {
	names, err := sourceNames(path)
	if err != nil {
		return nil, Diagnostics{unreadable(path, err)}
	}
	var sources []Source
	var found Diagnostics
	for _, name := range names {
		text, err := readRegular(name)
		if err != nil {
			found = append(found, unreadable(name, err))
			continue
		}
		sources = append(sources, Source{Name: name, Text: text})
	}
	if len(found) > 0 {
		return nil, found
	}
	return Parse(sources, opts...)
}

// sourceNames returns the files of a configuration.
func sourceNames(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		// A leading dot marks an editor's lock or backup file.
		if strings.HasSuffix(e.Name(), ".hcl") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the directory has no *.hcl file")
	}
	return names, nil
}

func unreadable(name string, err error) Diagnostic {
	return Diagnostic{
		Summary: fmt.Sprintf("cannot read the configuration: %v", bare(err)),
		Detail:  "Name a file, or a directory with *.hcl files, that this user may read: lb -config /etc/lb/lb.hcl",
		Pos:     Pos{File: name},
	}
}

// bare removes the operation and the path from a file error, for messages that have the path already.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Parse is Load for sources in memory. The Config is nil if the diagnostics have errors.
func Parse(sources []Source, opts ...Option) (*Config, Diagnostics) {
	r := newReader(sources)
	for _, o := range opts {
		o(&r.options)
	}
	root, ok := r.root(sources)
	if !ok {
		return nil, r.diagnostics()
	}
	c := readConfig(root)
	found := r.diagnostics()
	if found.HasErrors() {
		return nil, found
	}
	return c, found
}

// Format returns the source in canonical HCL style. In a source that does not parse it changes spacing at most.
func Format(src []byte) []byte { return hclwrite.Format(src) }
