package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLongNetworksFile: a list may be much larger than a configuration.
func TestLongNetworksFile(t *testing.T) {
	var list strings.Builder
	for i := range 1 << 19 {
		fmt.Fprintf(&list, "10.%d.%d.%d # a\n", i>>16, i>>8&255, i&255)
	}
	path := filepath.Join(t.TempDir(), "denied")
	if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("listen \":80\" {}\nsite \"s\" {\n  route \"/\" {\n    deny_file = %q\n    respond {}\n  }\n}\n", path)
	if _, diags := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}}); len(diags) > 0 {
		t.Error(diags)
	}
}
