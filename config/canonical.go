package config

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Canonical returns a source in canonical HCL style; name is for the error. What does not parse has none, and must not
// pass for formatted.
func Canonical(name string, src []byte) ([]byte, error) {
	_, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			return nil, fmt.Errorf("cannot format %s:%d:%d: %s; see \"lb check\"", name, d.Subject.Start.Line, d.Subject.Start.Column, d.Summary)
		}
	}
	return Format(src), nil
}
