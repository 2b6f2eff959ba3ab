package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The samples load without a diagnostic, except for files that are not on this machine,
// and are in the form that lb fmt writes.
func TestSamples(t *testing.T) {
	samples, err := filepath.Glob("../configs/*.hcl")
	if err != nil || len(samples) < 3 {
		t.Fatalf("found %d samples, %v", len(samples), err)
	}
	for _, name := range samples {
		t.Run(filepath.Base(name), func(t *testing.T) {
			c, found := Load(name, WithoutFileChecks())
			if c == nil || len(found) > 0 {
				t.Errorf("Load:\n%s", found)
			}
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(Format(src), src) {
				t.Errorf("lb fmt would change it to:\n%s", Format(src))
			}
		})
	}
}
