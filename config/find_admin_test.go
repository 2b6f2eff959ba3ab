package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindAdmin: the admin block is found in a configuration that cannot be used, and attributes that cannot be read
// have a reason.
func TestFindAdmin(t *testing.T) {
	t.Setenv("LB_TEST_TOKEN", "from the environment")
	os.Unsetenv("LB_TEST_UNSET")
	const block = "admin {\n  listen = \"127.0.0.1:9901\"\n  token  = \"secret\"\n}\n"
	for name, tc := range map[string]struct {
		text           string
		listen, token  string
		problem, other string // with listen, with token
	}{
		"whole":                  {text: smallest + block, listen: "127.0.0.1:9901", token: "secret"},
		"none":                   {text: smallest, listen: "127.0.0.1:9900"},
		"off":                    {text: "admin {\n  listen = \"off\"\n}\n", listen: ""},
		"empty":                  {text: "admin {}\n", listen: "127.0.0.1:9900"},
		"alone":                  {text: block, listen: "127.0.0.1:9901", token: "secret"},
		"unknown names":          {text: "nonsense = 1\n" + block + "pool \"x\" {\n  balence = 1\n}\n", listen: "127.0.0.1:9901", token: "secret"},
		"an unknown attribute":   {text: "admin {\n  listen = \"127.0.0.1:9901\"\n  tokn = \"x\"\n}\n", listen: "127.0.0.1:9901"},
		"an open quote before":   {text: "listen \":80 {}\n" + block, listen: "127.0.0.1:9901", token: "secret"},
		"an open block before":   {text: "site \"s\" {\n  route \"/\" {\n" + block, listen: "127.0.0.1:9901", token: "secret"},
		"an open quote behind":   {text: block + "listen \":80 {}\n", listen: "127.0.0.1:9901", token: "secret"},
		"braces too many":        {text: "}\n}\n" + block + "}\n", listen: "127.0.0.1:9901", token: "secret"},
		"another language":       {text: "upstream app {\n  server 10.0.0.1:80;\n}\n" + block, listen: "127.0.0.1:9901", token: "secret"},
		"too deep":               {text: "a = " + strings.Repeat("(", 1000) + "\n" + block, listen: "127.0.0.1:9901", token: "secret"},
		"on one line":            {text: "listen \":80 {}\n  admin { listen = \":9902\" }\n", listen: ":9902"},
		"in a comment":           {text: "listen \":80 {}\n/*\n" + block + "*/\n", listen: "127.0.0.1:9900"},
		"a variable":             {text: "admin {\n  token = env(\"LB_TEST_TOKEN\")\n}\n", listen: "127.0.0.1:9900", token: "from the environment"},
		"a variable that is not": {text: "admin {\n  listen = \":9902\"\n  token = env(\"LB_TEST_UNSET\")\n}\n", listen: ":9902", other: "LB_TEST_UNSET is not set"},
		"a file that is not":     {text: "admin {\n  token = file(\"/does/not/exist\")\n}\n", listen: "127.0.0.1:9900", other: "cannot read file"},
		"no address":             {text: "admin {\n  listen = \"here\"\n  token = \"secret\"\n}\n", listen: "127.0.0.1:9900", token: "secret", problem: "has no port"},
		"no string":              {text: "admin {\n  listen = 127.0.0.1:9901\n}\n", listen: "127.0.0.1:9900", problem: "a string without quotes", other: "a string without quotes"},
		"not closed":             {text: "site \"s\" {\n" + strings.TrimSuffix(block, "}\n"), listen: "127.0.0.1:9900", problem: "not closed", other: "not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "lb.hcl")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := FindAdmin(file)
			if err != nil || a.Listen != tc.listen || string(a.Token) != tc.token {
				t.Errorf("%q %q %v, want %q %q", a.Listen, string(a.Token), err, tc.listen, tc.token)
			}
			for _, p := range []struct {
				got  *Diagnostic
				want string
			}{{a.ListenProblem, tc.problem}, {a.TokenProblem, tc.other}} {
				if (p.got == nil) != (p.want == "") || p.got != nil && (!strings.Contains(p.got.Summary, p.want) || p.got.Pos.Line == 0 || p.got.Pos.File != file) {
					t.Errorf("the problem is %+v, want %q", p.got, p.want)
				}
			}
			if want := line(tc.text, "listen = \"127.0.0.1:9901\""); want > 0 && tc.listen == "127.0.0.1:9901" && a.ListenPos.Line != want {
				t.Errorf("listen is at %v, want line %d", a.ListenPos, want)
			}
			if want := line(tc.text, "token"); want > 0 && tc.token == "secret" && a.TokenPos.Line != want {
				t.Errorf("token is at %v, want line %d", a.TokenPos, want)
			}
		})
	}
}

// line returns the number of the first line that contains a text, or 0.
func line(text, part string) int {
	before, _, ok := strings.Cut(text, part)
	if !ok {
		return 0
	}
	return strings.Count(before, "\n") + 1
}

// TestFindAdminOfFolder: a file that cannot be read matters if the block is in no other.
func TestFindAdminOfFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := FindAdmin(dir); err == nil || !strings.Contains(err.Error(), "no *.hcl file") {
		t.Errorf("of an empty directory: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.hcl"), []byte("admin {\n  listen = \":9902\"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "a.hcl")); err != nil {
		t.Fatal(err)
	}
	if a, err := FindAdmin(dir); err != nil || a.Listen != ":9902" || a.Pos.File != filepath.Join(dir, "b.hcl") {
		t.Errorf("%q %v %v", a.Listen, a.Pos, err)
	}
	if err := os.Remove(filepath.Join(dir, "b.hcl")); err != nil {
		t.Fatal(err)
	}
	if a, err := FindAdmin(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "a.hcl") || a.Listen != "127.0.0.1:9900" {
		t.Errorf("%q %v", a.Listen, err)
	}
}
