package route_test

import (
	"strings"
	"testing"

	"lb/message"
	"lb/route"
)

func TestHostsExplain(t *testing.T) {
	var hosts route.Hosts[string]
	for _, name := range []string{"a.test", "*.test", "*.b.test"} {
		hosts.Add(name, "at "+name)
	}
	for name, want := range map[string]string{"a.test": "a.test", "x.test": "*.test", "x.b.test": "*.b.test", "b.test": "*.test"} {
		got, added, ok := hosts.Explain([]byte(name))
		if matched, _ := hosts.Match([]byte(name)); !ok || added != want || got != "at "+want || matched != got {
			t.Errorf("%s: %q by %q, want %q", name, got, added, want)
		}
	}
	if _, _, ok := hosts.Explain([]byte("test")); ok {
		t.Error("an unknown host was found")
	}
	hosts.Add("", "default")
	if got, added, ok := hosts.Explain([]byte("test")); !ok || added != "" || got != "default" {
		t.Errorf("%q by %q", got, added)
	}
}

// TestPathsExplain compares the explanation with Match for every combination of path, method and field.
func TestPathsExplain(t *testing.T) {
	var paths route.Paths[int]
	for i, r := range []route.Rule[int]{
		{Path: "/"},
		{Path: "/a/", Methods: []string{"POST"}},
		{Path: "/a/", Headers: []route.Header{{Name: "X", Value: "1"}}},
		{Path: "/a/b", Exact: true, Methods: []string{"GET"}},
		{Path: "/c/"},
		{Path: "/d/", Methods: []string{"GET", "POST"}, Headers: []route.Header{{Name: "X", Value: "1"}}},
		{Path: "/d", Methods: []string{"POST"}},
	} {
		r.Action = i
		if strings.HasSuffix(r.Path, "/") {
			r.Slash = &route.Rule[int]{Path: r.Path, Action: 100 + i}
		}
		paths.Add(&r)
	}
	fields := message.Lines([]byte("X: 1\r\n"), nil)
	for _, path := range []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/c", "/c/d", "/d", "*"} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			for _, with := range [][]message.Field{nil, fields} {
				rule, _ := paths.Match([]byte(path), []byte(method), with, nil)
				var chosen *route.Rule[int]
				slashes := 0
				for _, c := range paths.Explain([]byte(path), []byte(method), with, nil) {
					if c.Fit == route.Chosen {
						chosen = c.Rule
					}
					if c.Fit == route.AddsSlash {
						chosen = c.Rule.Slash
						slashes++
					}
					if c.Fit == route.OtherPath {
						t.Errorf("%s: a rule for %s comes into question", path, c.Rule.Path)
					}
				}
				if chosen != rule || slashes > 1 {
					t.Errorf("%s %s: chosen %+v, matched %+v", method, path, chosen, rule)
				}
			}
		}
	}
	fits := map[int]route.Fit{}
	for _, c := range paths.Explain([]byte("/a/b"), []byte("GET"), nil, nil) {
		fits[c.Rule.Action] = c.Fit
	}
	want := map[int]route.Fit{3: route.Chosen, 1: route.OtherMethod, 2: route.OtherHeaders, 0: route.Beaten}
	if len(fits) != len(want) {
		t.Errorf("%v", fits)
	}
	for rule, fit := range want {
		if fits[rule] != fit {
			t.Errorf("rule %d: %d, want %d", rule, fits[rule], fit)
		}
	}
}

// TestSlash: a prefix with a slash at its end takes the path without it where only a shorter prefix would match.
func TestSlash(t *testing.T) {
	fields := message.Lines([]byte("X: 1\r\n"), nil)
	x := []route.Header{{Name: "X", Value: "1"}}
	for _, c := range []struct {
		rules        string // "/app/" has a Slash; "=" is exact, "GET " a method, "X " a condition
		method, path string
		with         bool
		want         string
		allow        string
	}{
		{rules: "/app/", path: "/app", want: "/app/ slash"},
		{rules: "/app/", path: "/app/", want: "/app/"},
		{rules: "/app/", path: "/ap", want: ""},
		{rules: "/app/", path: "/apps", want: ""},
		{rules: "/app/", path: "/app/x", want: "/app/"},
		{rules: "/, /app/", path: "/app", want: "/app/ slash"},
		{rules: "/, /app/", path: "/apps", want: "/"},
		{rules: "/, /ap, /app/", path: "/app", want: "/app/ slash"},
		{rules: "/a/b/, /a/", path: "/a/b", want: "/a/b/ slash"},
		{rules: "/a/b/, /a/", path: "/a", want: "/a/ slash"},
		{rules: "/app, /app/", path: "/app", want: "/app"},
		{rules: "=/app, /app/", path: "/app", want: "=/app"},
		{rules: "=/app/, /", path: "/app", want: "/"},
		{rules: "=/app/, /app/", path: "/app", want: "/app/ slash"},
		{rules: "GET /app, /app/", method: "POST", path: "/app", allow: "GET"},
		{rules: "GET =/app, /app/", method: "POST", path: "/app", allow: "GET"},
		{rules: "GET /, /app/", method: "POST", path: "/app", want: "/app/ slash"},
		{rules: "GET /app/, /", method: "POST", path: "/app", want: "/"},
		{rules: "GET /app/", method: "POST", path: "/app"},
		{rules: "GET /app/", method: "POST", path: "/app/", allow: "GET"},
		{rules: "GET /app/, POST /app/", method: "POST", path: "/app", want: "POST /app/ slash"},
		{rules: "X /app/, /", path: "/app", want: "/"},
		{rules: "X /app/, /", path: "/app", with: true, want: "X /app/ slash"},
		{rules: "X /app, /app/", path: "/app", want: "/app/ slash"},
		{rules: "X /app, /app/", path: "/app", with: true, want: "X /app"},
		{rules: "/, //", path: "/", want: "/"},
		{rules: "/a/, /a//", path: "/a/", want: "/a/"},
		{rules: "/", path: "/", want: "/"},
		{rules: "/app/", path: "*", want: ""},
	} {
		var paths route.Paths[string]
		for _, text := range strings.Split(c.rules, ", ") {
			r := &route.Rule[string]{Action: text, Pattern: text}
			words := strings.Fields(text)
			r.Path, r.Exact = strings.CutPrefix(words[len(words)-1], "=")
			switch words[0] {
			case "X":
				r.Headers = x
			case "GET", "POST":
				r.Methods = words[:1]
			}
			if !r.Exact {
				r.Slash = &route.Rule[string]{Action: text + " slash"}
			}
			paths.Add(r)
		}
		var with []message.Field
		if c.with {
			with = fields
		}
		if c.method == "" {
			c.method = "GET"
		}
		rule, allow := paths.Match([]byte(c.path), []byte(c.method), with, nil)
		got := ""
		if rule != nil {
			got = rule.Action
		}
		if got != c.want || allow != c.allow {
			t.Errorf("%s %s with %q: %q, allow %q, want %q and %q", c.method, c.path, c.rules, got, allow, c.want, c.allow)
		}
	}
}
