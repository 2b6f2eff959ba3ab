package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lb/filter"
)

type allSettings struct {
	Text   string            `hcl:"text"`
	Key    string            `hcl:"licence,secret"`
	File   string            `hcl:"table,file"`
	Flag   bool              `hcl:"loud"`
	Number int               `hcl:"depth"`
	Wait   time.Duration     `hcl:"patience"`
	List   []string          `hcl:"words"`
	Map    map[string]string `hcl:"colours"`
}

// extended reads a configuration with an extension, and returns the settings that were built.
func extended(t *testing.T, dir, block string) (c *Config, built []allSettings, found Diagnostics) {
	t.Helper()
	e := filter.NewExtension("paint", allSettings{Text: "default", Wait: time.Second, List: []string{"a"}}, func(s allSettings) (filter.Filters, error) {
		built = append(built, s)
		if s.Text == "fail" {
			return filter.Filters{}, errors.New("no paint is left")
		}
		return filter.Filters{Fields: []string{"X-Paint"}}, nil
	})
	c, found = Parse([]Source{{Name: filepath.Join(dir, "lb.hcl"), Text: []byte("listen \":80\" {}\nsite \"s\" {\n  route \"/\" {\n    respond {}\n" + block + "  }\n}\n")}}, WithExtensions(e))
	return c, built, found
}

// TestExtension: the attributes of an extension's block become its settings, and are shown without secrets.
func TestExtension(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, built, found := extended(t, dir, "    paint {}\n")
	if want := (allSettings{Text: "default", Wait: time.Second, List: []string{"a"}}); len(found) > 0 || len(built) != 1 || !reflect.DeepEqual(built[0], want) {
		t.Errorf("the defaults are %+v, %v", built, found)
	}
	plain := c.Sites[0].Routes[0].Treatment()
	c, built, found = extended(t, dir, `    paint {
      text     = "x"
      licence  = "CANARY"
      table    = "t"
      loud     = true
      depth    = 7
      patience = "2m"
      words    = ["b", "c"]
      colours  = { "sky" = "blue" }
    }
`)
	want := allSettings{Text: "x", Key: "CANARY", File: filepath.Join(dir, "t"), Flag: true, Number: 7, Wait: 2 * time.Minute, List: []string{"b", "c"}, Map: map[string]string{"sky": "blue"}}
	if len(found) > 0 || len(built) != 1 || !reflect.DeepEqual(built[0], want) {
		t.Fatalf("got %+v, %v", built, found)
	}
	shown, err := json.Marshal(c)
	if err != nil || strings.Contains(string(shown), "CANARY") || !strings.Contains(string(shown), `"name":"depth"`) {
		t.Errorf("shown as %s, %v", shown, err)
	}
	if c.Sites[0].Routes[0].Treatment() == plain {
		t.Error("routes with different settings count as the same")
	}
}

// TestExtensionFaults: what is wrong with a block is reported at its place, and shows no secret.
func TestExtensionFaults(t *testing.T) {
	for _, c := range []struct{ block, want string }{
		{"paint {\n text = \"fail\"\n}\n", "lb.hcl:5:1: error: paint: no paint is left"},
		{"paint {\n txt = \"a\"\n}\n", `lb.hcl:6:2: error: unknown attribute "txt"; did you mean "text"?`},
		{"paint {\n depth = -1\n}\n", "lb.hcl:6:10: error: depth = -1 is out of range"},
		{"paint {\n table = \"missing\"\n}\n", "lb.hcl:6:10: error: cannot read table"},
		{"paint {}\npaint {}\n", "lb.hcl:6:1: error: a second paint block"},
		{"paint \"x\" {}\n", "lb.hcl:5:7: error: paint takes no label"},
		{"pant {}\n", `unknown block "pant"; did you mean "paint"?`},
		{"paint {\n licence = [\"CANARY\"]\n}\n", "licence cannot be a list"},
		{"paint {\n licence = \"CANARY\n}\n", "lb.hcl:6:"},
		{"paint\n{\n}\n", "paint"},
	} {
		_, _, found := extended(t, t.TempDir(), c.block)
		if text := found.String(); !found.HasErrors() || !strings.Contains(text, c.want) || strings.Contains(text, "CANARY") {
			t.Errorf("%q: got\n%s\nwant %s", c.block, text, c.want)
		}
	}
}

// TestExtensionNames: an extension cannot replace what routes have.
func TestExtensionNames(t *testing.T) {
	for _, name := range []string{"proxy", "methods"} {
		e := filter.NewExtension(name, struct{}{}, func(struct{}) (filter.Filters, error) { return filter.Filters{}, nil })
		_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte("listen \":80\" {}\nsite \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n")}}, WithExtensions(e, e))
		if !strings.Contains(found.String(), "which is a name that routes have already") {
			t.Errorf("%s: %s", name, found)
		}
	}
}
