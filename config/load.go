// Package config reads the configuration: HCL in, plain structs with every
// default filled in out, and diagnostics that say where something is wrong
// and what to write instead.
//
// All file names in a Config are absolute or relative to the working folder;
// a relative one in a file was meant relative to that file's folder.
package config

// Source is one configuration file in memory.
type Source struct {
	Name string // for diagnostics; its folder is where relative paths begin
	Text []byte
}

// Option changes how a configuration is checked.
type Option func(*options)

type options struct {
	withoutFiles bool
}

// WithoutFileChecks leaves out every check of files that the configuration
// names (certificates, pages, roots); file("…") still reads.
func WithoutFileChecks() Option { return func(o *options) { o.withoutFiles = true } }

// Load reads a file, or a folder whose *.hcl files are read in name order as
// one configuration. The Config is nil if the diagnostics have errors.
func Load(path string, opts ...Option) (*Config, Diagnostics) { panic("todo") }

// Parse is Load for sources in memory. The Config is nil if the diagnostics have errors.
func Parse(sources []Source, opts ...Option) (*Config, Diagnostics) { panic("todo") }

// Format returns the source in canonical HCL style. What does not parse is returned with
// its spacing changed at most.
func Format(src []byte) []byte { panic("todo") }

// Flags are what the command line can say without a file.
type Flags struct {
	Listen  string   // "" is ":8080"
	To      []string // backend addresses, at least one
	Static  string   // a folder that is served under /static/; "" for none
	Balance string   // "" is round_robin
}

// FromFlags returns the configuration for a command line without a file: one
// default site that proxies everything to one pool named "app", and serves
// files under /static/ if there is a folder for them.
// The Config is nil if the diagnostics have errors.
func FromFlags(f Flags, opts ...Option) (*Config, Diagnostics) { panic("todo") }
