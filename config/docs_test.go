package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"lb/internal/limits"
)

// documented is a configuration for each section of the page, with %s in the block that the section is about.
var documented = map[string]string{
	"listen":               `listen ":81" { ` + "\n%s\n}",
	"listen/tls":           "listen \":81\" {\ntls {\ncertificate {\ncert = \"/c\"\nkey = \"/k\"\n}\n%s\n}\n}",
	"listen/acme":          "listen \":443\" {\ntls {\nacme {\ndomains = [\"a.example\"]\n%s\n}\n}\n}",
	"admin":                "admin {\n%s\n}",
	"log":                  "log {\n%s\n}",
	"access_log":           "access_log {\n%s\n}",
	"limits":               "limits {\n%s\n}",
	"static_cache":         "static_cache {\n%s\n}",
	"shutdown":             "shutdown {\n%s\n}",
	"site":                 "listen \":8080\" {}\nsite \"b\" {\n%s\nroute \"/\" {\nrespond {}\n}\n}", // the default site, without another
	"route":                "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\n%s\n}\n}",
	"route/rate_limit":     "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\nrate_limit {\n%s\n}\n}\n}",
	"route/concurrency":    "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\nconcurrency {\n%s\n}\n}\n}",
	"route/basic_auth":     "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\nbasic_auth {\nusers_file = \"/u\"\n%s\n}\n}\n}",
	"route/cors":           "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\ncors {\norigins = [\"https://a.example\"]\n%s\n}\n}\n}",
	"route/forward_auth":   "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\nforward_auth {\npool = \"app\"\n%s\n}\n}\n}",
	"route/jwt":            "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {}\njwt {\njwks = \"https://a.example\"\n%s\n}\n}\n}",
	"route/compress":       "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nproxy {\npool = \"app\"\n}\ncompress {\n%s\n}\n}\n}",
	"route/static":         "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nstatic {\nroot = \"/\"\n%s\n}\n}\n}",
	"route/proxy":          "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nproxy {\npool = \"app\"\n%s\n}\n}\n}",
	"route/cache":          "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\ncache {\n%s\n}\nproxy {\npool = \"app\"\n}\n}\n}",
	"route/mirror":         "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nmirror {\npool = \"canary\"\n%s\n}\nproxy {\npool = \"app\"\n}\n}\n}\npool \"canary\" {\nbackend \"127.0.0.1:1\" {}\n}",
	"route/redirect":       "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nredirect {\nto = \"/\"\n%s\n}\n}\n}",
	"route/respond":        "site \"b\" {\nhosts = [\"b\"]\nroute \"/\" {\nrespond {\n%s\n}\n}\n}",
	"pool":                 "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\n%s\n}",
	"pool/backend":         "pool \"b\" {\nbackend \"127.0.0.1:1\" {\n%s\n}\n}",
	"pool/discover dns":    "pool \"b\" {\ndiscover \"dns\" {\nname = \"a\"\nport = 1\n%s\n}\n}",
	"pool/discover docker": "pool \"b\" {\ndiscover \"docker\" {\nlabel = \"a\"\n%s\n}\n}",
	"pool/discover consul": "pool \"b\" {\ndiscover \"consul\" {\nservice = \"a\"\n%s\n}\n}",
	"pool/health":          "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\nhealth {\n%s\n}\n}",
	"pool/eject":           "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\neject {\n%s\n}\n}",
	"pool/retry":           "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\nretry {\n%s\n}\n}",
	"pool/queue":           "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\nqueue {\n%s\n}\n}",
	"pool/timeouts":        "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\ntimeouts {\n%s\n}\n}",
	"pool/sticky":          "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\nsticky {\n%s\n}\n}",
	"pool/keepalive":       "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\nkeepalive {\n%s\n}\n}",
	"pool/tls":             "pool \"b\" {\nbackend \"127.0.0.1:1\" {}\ntls {\n%s\n}\n}",
}

// TestDocumentedDefaults: writing a default of docs/configuration.md changes nothing.
func TestDocumentedDefaults(t *testing.T) {
	checked := map[string]int{}
	for _, row := range documentedRows(t) {
		text, ok := documented[row.section]
		if !ok {
			t.Errorf("section %q has a table, and no configuration to try it in", row.section)
			continue
		}
		if row.block != "" {
			text = fmt.Sprintf(text, row.block+" {\n%s\n}")
		}
		without := tryDocumented(t, text, "")
		for i, name := range row.names {
			line := name + " = " + row.defaults[min(i, len(row.defaults)-1)]
			if with := tryDocumented(t, text, line); with != nil && !reflect.DeepEqual(with, without) {
				t.Errorf("%s: %s is not the default", row.section, line)
			}
			checked[row.section]++
		}
	}
	for section := range documented {
		if checked[section] == 0 {
			t.Errorf("section %q has no default that was checked", section)
		}
	}
}

// tryDocumented reads a configuration with a line in the block of a section.
func tryDocumented(t *testing.T, block, line string) *Config {
	t.Helper()
	text := fmt.Sprintf(block, line)
	if !strings.HasPrefix(text, `listen ":8080"`) {
		text = smallest + text
	}
	c, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(text)}}, WithoutFileChecks())
	if c == nil {
		t.Errorf("%q:\n%s", line, found)
		return nil
	}
	c = withoutPlaces(c)
	for i := range c.Sites {
		for k := range c.Sites[i].Routes {
			if r := &c.Sites[i].Routes[k]; len(r.Methods) == 0 {
				r.Methods = nil // an empty list is the same as none
			}
		}
	}
	return c
}

// documentedRow is a line of a table: attributes with their default, one for all or one each.
type documentedRow struct {
	section         string // "pool/health"
	block           string // within it, where the line names one
	names, defaults []string
}

// documentedRows returns the lines of the page that state a default.
func documentedRows(t *testing.T) (rows []documentedRow) {
	t.Helper()
	var chapter, section string
	heading := regexp.MustCompile("^(##+) `?([a-z_, ]+)")
	quoted := regexp.MustCompile("`([^`]*)`")
	for line := range strings.Lines(page(t)) {
		if m := heading.FindStringSubmatch(line); m != nil {
			name := strings.TrimSpace(m[2])
			if kind := regexp.MustCompile(`^### discover "(\w+)"`).FindStringSubmatch(line); kind != nil {
				name += " " + kind[1]
			}
			if section = chapter + "/" + name; m[1] == "##" {
				chapter, section = name, name
			}
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 || strings.Contains(cells[0], "{") {
			continue
		}
		row := documentedRow{section: section}
		for _, m := range quoted.FindAllStringSubmatch(cells[0], -1) {
			row.names = append(row.names, m[1])
		}
		for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
			row.defaults = append(row.defaults, m[1])
		}
		if regexp.MustCompile("^\\| `\\w+` `").MatchString(cells[0]) {
			row.block, row.names = row.names[0], row.names[1:]
			if documented[chapter+"/"+row.block] != "" { // a section about several blocks
				row.section, row.block = chapter+"/"+row.block, ""
			}
		}
		if len(row.defaults) > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumentedAttributes: the page names every existing block and attribute.
func TestDocumentedAttributes(t *testing.T) {
	text, count := page(t), 0
	named := func(word string) bool {
		return regexp.MustCompile("`([^`]*\\W)?"+word+"(\\W[^`]*)?`").MatchString(text) || regexp.MustCompile("(?m)^##+ .*\\b"+word+"\\b").MatchString(text)
	}
	v := (&options{}).language()
	for kind, names := range v.attributes {
		for _, name := range append(names, v.blocks[kind]...) {
			if count++; !named(name) {
				t.Errorf("%s is not on the page; it belongs to %q", name, kind)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d words were looked for", count)
	}
}

// TestDocumentedBounds: the bounds on the page are those in force.
func TestDocumentedBounds(t *testing.T) {
	text := page(t)
	for _, want := range []string{
		fmt.Sprintf("at least %d characters", limits.MinSecret),
		fmt.Sprintf("at least %d bytes", limits.MinSecret),
		fmt.Sprintf("size of a response head, %s to %s", formatSize(limits.MinHeaderSize), formatSize(limits.MaxHeaderSize)),
		fmt.Sprintf("from `%q` to `%q`", formatSize(leastBuffer), formatSize(mostBuffer)),
		fmt.Sprintf("never less than %d a second", limits.RetryFloor),
		fmt.Sprintf("in the first %d KiB", limits.ProbeBody>>10),
		fmt.Sprintf("`max_conns` is %d or less", fewConns),
		fmt.Sprintf("at most %d,%03d lines", maxLines/1000, maxLines%1000),
		fmt.Sprintf("within %d days", soonExpires/(24*time.Hour)),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say: %s", want)
		}
	}
}
