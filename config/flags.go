package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"lb/balancer"
)

// Flags are the settings of a command line without a file.
type Flags struct {
	Listen  string   // "" is ":8080"
	To      []string // backend addresses, at least one
	Static  string   // a directory that is served under /static/; "" for none
	Balance string   // "" is balancer.Default
}

// FromFlags returns the configuration for a command line without a file: one
// default site that proxies every path to one pool named "app". With a directory
// for static files, /static/NAME is the file NAME in it.
// The Config is nil if the diagnostics have errors; their Source is a line of
// the configuration that is equivalent to the flags (see Flags.Text).
func FromFlags(f Flags, opts ...Option) (*Config, Diagnostics) {
	c, found := Parse([]Source{{Name: "flags", Text: f.Text()}}, opts...)
	for i := range found {
		found[i].Pos = Pos{File: "command line", Column: found[i].Pos.Column}
	}
	return c, found
}

// Text returns the equivalent configuration file.
func (f Flags) Text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "listen %s {}\n\nsite \"default\" {\n", quote(or(f.Listen, ":8080")))
	if f.Static != "" {
		fmt.Fprintf(&b, "route \"/static/\" {\nstatic {\nroot = %s\nstrip_prefix = true\n}\n}\n", quote(f.Static))
	}
	fmt.Fprintf(&b, "route \"/\" {\nproxy {\npool = \"app\"\n}\n}\n}\n\n")
	fmt.Fprintf(&b, "pool \"app\" {\nbalance = %s\n", quote(or(f.Balance, balancer.Default)))
	for _, to := range f.To {
		fmt.Fprintf(&b, "backend %s {}\n", quote(to))
	}
	b.WriteString("}\n")
	return Format([]byte(b.String()))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// quote writes a text as a quoted string of the configuration language.
func quote(s string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(s)).Bytes())
}
