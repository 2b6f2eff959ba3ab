package route

import (
	"net/netip"
	"path"
	"regexp"
	"strings"
	"testing"

	"lb/message"
)

func TestHosts(t *testing.T) {
	var h Hosts[string]
	for _, name := range []string{"a.example.org", "*.example.org", "*.b.example.org", "[::1]"} {
		h.Add(name, name)
	}
	find := func(host string) string {
		s, ok := h.Match(CleanHost(nil, []byte(host)))
		if !ok {
			return "none"
		}
		return s
	}
	for host, want := range map[string]string{
		"a.example.org": "a.example.org", "A.Example.ORG": "a.example.org", "a.example.org:8080": "a.example.org",
		"a.example.org.": "a.example.org", "a.example.org.:80": "a.example.org",
		"x.example.org": "*.example.org", "x.y.example.org": "*.example.org", "b.example.org": "*.example.org",
		"x.b.example.org": "*.b.example.org", "x.y.b.example.org:1": "*.b.example.org",
		"example.org": "none", ".example.org": "none", "xexample.org": "none", "": "none", ".": "none",
		"[::1]": "[::1]", "[::1]:80": "[::1]", "[::2]:80": "none", "a.example.org.evil": "none",
	} {
		if got := find(host); got != want {
			t.Errorf("%q met %q, want %q", host, got, want)
		}
	}
	for i := range 20 { // maps of more than eight use another lookup
		h.Add("*."+strings.Repeat("x", i+1)+".example.com", "many")
	}
	long := strings.Repeat("x.", 200)
	for host, want := range map[string]string{"a.xxx.example.com": "many", long + "xxxx.example.com": "many", long + "y.example.com": "none", long + "b.example.org": "*.b.example.org"} {
		if got := find(host); got != want {
			t.Errorf("%q met %q, want %q", host, got, want)
		}
	}
	h.Add("", "default")
	for host, want := range map[string]string{"": "default", "example.org": "default", "x.example.org": "*.example.org", "[::2]": "default"} {
		if got := find(host); got != want {
			t.Errorf("with a default, %q met %q, want %q", host, got, want)
		}
	}
	var none Hosts[int]
	if _, ok := none.Match([]byte("a")); ok {
		t.Error("the zero value matches")
	}
}

func TestSplitTarget(t *testing.T) {
	for target, want := range map[string][2]string{
		"/": {"/", ""}, "/a?b=c": {"/a", "?b=c"}, "/a?": {"/a", "?"}, "/a?b?c": {"/a", "?b?c"}, "?": {"", "?"}, "": {"", ""},
		"*": {"*", ""}, "http://h/a?b": {"/a", "?b"}, "http://h": {"/", ""}, "http://h?q": {"/", "?q"}, "http://h/": {"/", ""},
		"/a?u=http://h/b": {"/a", "?u=http://h/b"}, "//h/x": {"//h/x", ""}, "/a://b/c": {"/a://b/c", ""},
		"http://h?u=http://x/y": {"/", "?u=http://x/y"},
	} {
		if p, q := SplitTarget([]byte(target)); string(p) != want[0] || string(q) != want[1] {
			t.Errorf("%q: %q %q, want %q", target, p, q, want)
		}
	}
}

func TestCleanPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "*": "*", "/a/b": "/a/b", "/a/": "/a/", "/a/..": "/", "/a/../": "/", "/./": "/", "/.": "/", "//": "/", "///": "/",
		"/a//b/": "/a/b/", "/a/.": "/a/", "/a/./": "/a/", "/a/b/..": "/a/", "/a/b/../": "/a/", "/a/b/../c": "/a/c", "/a/b/../../c": "/c",
		"/a/../b/..": "/", "/a//../b": "/b", "/...": "/...", "/.a": "/.a", "/a/..b": "/a/..b", "/a../b": "/a../b",
		"/%61": "/a", "/%2F": "/", "/a%2fb": "/a/b", "/a/%2e%2e/b": "/b", "/a/%2E": "/a/", "/%25": "/%", "/%252e": "/%2e", "/%c3%a9": "/é", "/%7F": "/\x7f",
	} {
		got, ok := CleanPath(nil, []byte(in))
		if !ok || string(got) != want {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "a", "/..", "/../", "/../a", "/a/../..", "/a/../../b", "/%2e%2e/x", "/.%2e", "/a%2f..%2f..%2fb",
		"/%", "/%2", "/%g0", "/%0g", "/%00", "/a%00b", "**", "%2F"} {
		if got, ok := CleanPath(nil, []byte(in)); ok && (in != "%2F" || string(got) != "/") {
			t.Errorf("%q was cleaned to %q", in, got)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"/", "/a/../b", "/%2e%2e/x", "//a/./b//", "/a/..", "/%25", "*", "/..a/.b./...", "/a%2f%2fb"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := string(in)
		got, ok := CleanPath(make([]byte, 0, 8), in)
		if string(in) != before {
			t.Fatalf("%q was changed to %q", before, in)
		}
		if !ok || before == "*" {
			return
		}
		s := string(got)
		if s == "" || s[0] != '/' || strings.Contains(s, "//") || strings.Contains(s+"/", "/./") || strings.Contains(s+"/", "/../") {
			t.Fatalf("%q is not clean: %q", before, s)
		}
		if !strings.Contains(s, "%") {
			if again, ok := CleanPath(nil, []byte(s)); !ok || string(again) != s {
				t.Fatalf("%q became %q and then %q %v", before, s, again, ok)
			}
		}
		if !strings.Contains(before, "%") {
			want := path.Clean(before)
			if last := before[strings.LastIndexByte(before, '/')+1:]; want != "/" && (last == "" || last == "." || last == "..") {
				want += "/"
			}
			if s != want {
				t.Fatalf("%q: %q, want %q", before, s, want)
			}
		}
	})
}

func fields(t testing.TB, lines string) []message.Field {
	t.Helper()
	f := message.Lines([]byte(lines), nil)
	return f
}

func TestPathsMatch(t *testing.T) {
	var p Paths[int]
	add := func(name string, rule Rule[int]) {
		rule.Pattern = name
		p.Add(&rule)
	}
	add("root", Rule[int]{Path: "/"})
	add("images", Rule[int]{Path: "/images/", Methods: []string{"GET", "HEAD"}})
	add("png", Rule[int]{Path: "/images/png/"})
	add("exact", Rule[int]{Path: "/images/a", Exact: true, Methods: []string{"PUT"}})
	add("exact slash", Rule[int]{Path: "/only", Exact: true})
	add("v2", Rule[int]{Path: "/api/", Headers: []Header{{"X-Version", "2"}, {"x-beta", "yes"}}, Methods: []string{"POST"}})
	add("v1", Rule[int]{Path: "/api/", Methods: []string{"GET", "POST"}})
	add("v3", Rule[int]{Path: "/api/", Headers: []Header{{"X-Version", "3"}}}) // v1 precedes it
	for _, tc := range []struct{ path, method, lines, rule, allow string }{
		{"/", "GET", "", "root", ""},
		{"/images", "DELETE", "", "root", ""},
		{"/images/", "GET", "", "images", ""},
		{"/images/b", "HEAD", "", "images", ""},
		{"/images/b", "POST", "", "", "GET, HEAD"},
		{"/images/png/b", "POST", "", "png", ""},
		{"/images/a", "PUT", "", "exact", ""},
		{"/images/a", "GET", "", "", "PUT"},
		{"/images/a/", "GET", "", "images", ""},
		{"/only", "ANY", "", "exact slash", ""},
		{"/only/", "GET", "", "root", ""},
		{"/api/x", "POST", "x-version: 2\r\nX-BETA: yes\r\n", "v2", ""},
		{"/api/x", "POST", "x-version: 2\r\n", "v1", ""},
		{"/api/x", "POST", "x-version: 22\r\nX-Beta: yes\r\n", "v1", ""},
		{"/api/x", "GET", "x-version: 2\r\nX-Beta: yes\r\n", "v1", ""},
		{"/api/x", "PUT", "x-version: 2\r\nX-Beta: yes\r\n", "", "GET, POST"},
		{"/api/x", "PUT", "x-version: 3\r\n", "v3", ""},
		{"/api/x", "PUT", "", "", "GET, POST"},
		{"/api/x", "get", "", "", "GET, POST"},
		{"*", "OPTIONS", "", "", ""},
	} {
		rule, allow := p.Match([]byte(tc.path), []byte(tc.method), fields(t, tc.lines), nil)
		got := ""
		if rule != nil {
			got = rule.Pattern
		}
		if got != tc.rule || allow != tc.allow {
			t.Errorf("%s %s %q: %q %q, want %q %q", tc.method, tc.path, tc.lines, got, allow, tc.rule, tc.allow)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	var hosts Hosts[int]
	hosts.Add("*.example.org", 1)
	var p Paths[int]
	name := "X-A-Rather-Long-Name-That-Fits-Into-No-Small-Buffer"
	p.Add(&Rule[int]{Path: "/a/", Headers: []Header{{name, "1"}}, Methods: []string{"GET"}})
	p.Add(&Rule[int]{Path: "/b", Exact: true})
	rules := NewHeaderRules([]Header{{name, "2"}}, nil, []string{"Server"})
	f := fields(t, name+": 1\r\nHost: a\r\n")
	host, hostBuf, pathBuf, out := []byte("A.Example.org:80"), make([]byte, 0, 64), make([]byte, 0, 64), make([]byte, 0, 256)
	target := []byte("/x/../a/%62?q")
	template := NewTemplate("/v2{path}-{rest}")
	added := make([]message.Field, 0, 4)
	if n := testing.AllocsPerRun(100, func() {
		_, found := hosts.Match(CleanHost(hostBuf, host))
		raw, _ := SplitTarget(target)
		clean, _ := CleanPath(pathBuf, raw)
		rule, _ := p.Match(clean, []byte("GET"), f, nil)
		if !found || rule == nil || !rules.Drops(&f[0]) || rules.Drops(&f[1]) {
			t.Fatal("no match")
		}
		out = template.Append(out[:0], clean, clean)
		added = rules.Cut(rules.Append(added[:0]))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTemplate(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "/x": "/x", "{path}": "/p/r", "{rest}": "r", "/v2{path}": "/v2/p/r", "/{rest}/{rest}": "/r/r",
		"{path}{rest}": "/p/rr", "{": "{", "{x}": "{x}", "{{path}}": "{/p/r}", "{path": "{path", "a{PATH}b": "a{PATH}b",
	} {
		tmpl := NewTemplate(text)
		if got := string(tmpl.Append([]byte("^"), []byte("/p/r"), []byte("r"))); got != "^"+want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if tmpl.IsZero() != (text == "") {
			t.Errorf("%q: IsZero %v", text, tmpl.IsZero())
		}
	}
	var zero Template
	if !zero.IsZero() || len(zero.Append(nil, []byte("a"), nil)) != 0 {
		t.Error("the zero template gives something")
	}
}

func TestHeaderRules(t *testing.T) {
	rules := NewHeaderRules([]Header{{"X-Set", "1"}, {"Host", "x"}}, []Header{{"X-Add", "2"}, {"x-add", "3"}}, []string{"server", "Content-Length"})
	drops := ""
	in := fields(t, "x-set: a\r\nX-Set: b\r\nX-Add: c\r\nServer: d\r\nContent-Length: 1\r\nHost: e\r\nX-Sett: f\r\n")
	for i := range in {
		if rules.Drops(&in[i]) {
			drops += string(in[i].Line)
		}
	}
	if want := "x-set: a\r\nX-Set: b\r\nServer: d\r\n"; drops != want {
		t.Errorf("dropped %q, want %q", drops, want)
	}
	put := ""
	for _, f := range rules.Append(nil) {
		put += string(f.Line)
	}
	if got, want := put, "X-Set: 1\r\nX-Add: 2\r\nx-add: 3\r\n"; got != want {
		t.Errorf("put in %q, want %q: what is never taken out is not doubled either", got, want)
	}
	kept := ""
	for _, f := range rules.Cut(in) {
		kept += string(f.Line)
	}
	if want := "X-Add: c\r\nContent-Length: 1\r\nHost: e\r\nX-Sett: f\r\n"; kept != want {
		t.Errorf("kept %q, want %q", kept, want)
	}
	var none HeaderRules
	if none.Drops(&in[0]) || len(none.Append(nil)) != 0 {
		t.Error("the zero value changes something")
	}
}

// TestGuard: a client cannot send a guarded field in any spelling that an application may read as the same.
func TestGuard(t *testing.T) {
	var r HeaderRules
	if got := r.Unguarded(fields(t, "Remote-User: a\r\n")); len(got) != 1 {
		t.Errorf("%v", got)
	}
	r.Guard([]string{"Remote-User", "X_Groups"})
	for name, dropped := range map[string]bool{
		"Remote-User": true, "remote-user": true, "REMOTE_USER": true, "Remote.User": true, "X-Groups": true, "x_groups": true,
		"Remote-Users": false, "RemoteUser": false, "X-Group": false,
	} {
		f := message.NewField(name, "x")
		if r.Drops(&f) != dropped || (len(r.Unguarded([]message.Field{f})) == 0) != dropped {
			t.Errorf("%s: dropped %t", name, !dropped)
		}
	}
}

// TestRegexps: an exact path and a longer prefix than "/" come first, then regular expressions in their order, then "/".
func TestRegexps(t *testing.T) {
	var p Paths[string]
	add := func(r Rule[string]) {
		r.Pattern = r.Action
		p.Add(&r)
	}
	add(Rule[string]{Path: "/", Action: "/"})
	add(Rule[string]{Regexp: regexp.MustCompile(`^/item/[0-9]+$`), Action: "~item", Methods: []string{"GET"}})
	add(Rule[string]{Regexp: regexp.MustCompile(`\.php$`), Action: "~php"})
	add(Rule[string]{Regexp: regexp.MustCompile(`^/item/`), Action: "~any", Headers: []Header{{"X", "1"}}})
	add(Rule[string]{Path: "/app/", Action: "/app/", Slash: &Rule[string]{Action: "slash"}})
	add(Rule[string]{Path: "/item/7", Exact: true, Action: "=7"})
	for _, c := range []struct{ method, path, lines, want string }{
		{"GET", "/item/5", "", "~item"},
		{"GET", "/item/7", "", "=7"},
		{"POST", "/item/5", "", "405 GET"},
		{"GET", "/item/x", "", "/"},
		{"GET", "/item/x", "X: 1\r\n", "~any"},
		{"GET", "/x.php", "", "~php"},
		{"GET", "/app/x.php", "", "/app/"},
		{"GET", "/app", "", "slash"},
		{"GET", "/item/5.php", "", "~php"},
		{"GET", "/", "", "/"},
	} {
		rule, allow := p.Match([]byte(c.path), []byte(c.method), fields(t, c.lines), nil)
		got := "405 " + allow
		if rule != nil {
			got = rule.Action
		}
		if got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
		chosen := 0
		for _, e := range p.Explain([]byte(c.path), []byte(c.method), fields(t, c.lines), nil) {
			if e.Fit == Chosen && e.Rule == rule || e.Fit == AddsSlash {
				chosen++
			}
		}
		if chosen != 1 && rule != nil {
			t.Errorf("%s %s: explained otherwise", c.method, c.path)
		}
	}
	var alone Paths[string]
	alone.Add(&Rule[string]{Regexp: regexp.MustCompile(`^/a`), Action: "~"})
	if rule, _ := alone.Match([]byte("/ab"), []byte("GET"), nil, nil); rule == nil {
		t.Error("a regular expression without any prefix does not match")
	}
}

func TestQuery(t *testing.T) {
	r := Rule[int]{Query: []Header{{"v", "2"}, {"a b", "c&d"}}}
	for query, want := range map[string]bool{
		"?v=2&a+b=c%26d": true, "?a%20b=c%26d&x&v=2": true, "?v=1&v=2&a+b=c%26d": true, "v=2&a b=c%26d": true,
		"?v=2": false, "?v=2&a+b=c&d": false, "": false, "?": false, "?V=2&a+b=c%26d": false, "?v=2%&a+b=c%26d": false, "?v=22&a+b=c%26d": false,
		"?&&&==&v=2&a+b=c%26d&": true,
	} {
		if got := r.matchesQuery([]byte(query)); got != want {
			t.Errorf("%q: %t", query, got)
		}
	}
	empty := Rule[int]{Query: []Header{{"flag", ""}}}
	if !empty.matchesQuery([]byte("?flag")) || !empty.matchesQuery([]byte("?flag=")) || empty.matchesQuery([]byte("?flag=1")) {
		t.Error("a name without a value")
	}
}

func TestGroups(t *testing.T) {
	re := regexp.MustCompile(`^/(?P<lang>[a-z]+)/(.*?)(/x)?$`)
	for _, c := range []struct{ text, path, want string }{
		{"/{2}?l={lang}", "/en/a/b", "/a/b?l=en"},
		{"/{1}/{path}", "/en/a", "/en/%"},
		{"/{2}{3}", "/en/a b\x00?#%", "/a%20b%00%3F%23%25"},
		{"/{9}{0}{01}{}{name}{lang", "/en/a", "/{9}{0}{01}{}{name}{lang"},
	} {
		tmpl := NewMatchTemplate(c.text, re)
		at := re.FindSubmatchIndex([]byte(c.path))
		if got := string(tmpl.AppendMatch(nil, []byte("%"), nil, []byte(c.path), at)); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
	if tmpl := NewMatchTemplate("{path}", re); tmpl.Captures() {
		t.Error("{path} is no group")
	}
}

// TestContainsZone: the zone of an address does not let it evade a network.
func TestContainsZone(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("fe80::/10")}
	if !Contains(prefixes, netip.MustParseAddr("fe80::1%eth0")) {
		t.Error("an address with a zone is in no network")
	}
}
