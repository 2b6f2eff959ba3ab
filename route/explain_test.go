package route_test

import (
	"testing"

	"lb/internal/wire"
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
		t.Error("a host that nobody has was found")
	}
	hosts.Add("", "default")
	if got, added, ok := hosts.Explain([]byte("test")); !ok || added != "" || got != "default" {
		t.Errorf("%q by %q", got, added)
	}
}

// TestPathsExplain holds the explanation against Match for every combination of path, method and field.
func TestPathsExplain(t *testing.T) {
	var paths route.Paths[int]
	for i, r := range []route.Rule[int]{
		{Path: "/"},
		{Path: "/a/", Methods: []string{"POST"}},
		{Path: "/a/", Headers: []route.Header{{Name: "X", Value: "1"}}},
		{Path: "/a/b", Exact: true, Methods: []string{"GET"}},
		{Path: "/c/"},
	} {
		r.Action = i
		paths.Add(&r)
	}
	fields, err := wire.ParseFields([]byte("X: 1\r\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/c/d", "*"} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			for _, with := range [][]wire.Field{nil, fields} {
				rule, _ := paths.Match([]byte(path), []byte(method), with)
				var chosen *route.Rule[int]
				for _, c := range paths.Explain([]byte(path), []byte(method), with) {
					if c.Fit == route.Chosen {
						chosen = c.Rule
					}
					if c.Fit == route.OtherPath {
						t.Errorf("%s: a rule for %s comes into question", path, c.Rule.Path)
					}
				}
				if chosen != rule {
					t.Errorf("%s %s: chosen %+v, matched %+v", method, path, chosen, rule)
				}
			}
		}
	}
	fits := map[int]route.Fit{}
	for _, c := range paths.Explain([]byte("/a/b"), []byte("GET"), nil) {
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
