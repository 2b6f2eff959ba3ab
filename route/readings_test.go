package route

import (
	"math/rand/v2"
	"net/url"
	"path"
	"strings"
	"testing"
)

// site is a set of rules, each a pattern followed by a tilde and the class of its treatment: "/admin/ ~2".
func site(rules ...string) *Paths[string] {
	p := &Paths[string]{}
	for _, text := range rules {
		pattern, class, _ := strings.Cut(text, " ~")
		r := &Rule[string]{Pattern: pattern, Path: strings.TrimPrefix(pattern, "= "), Exact: pattern[0] == '=', Class: int(class[0] - '0'), Action: text}
		r.Lenient = strings.Contains(class, "lenient")
		r.Rewrites = strings.Contains(class, "rewrites")
		if strings.Contains(class, "get") {
			r.Methods = []string{"GET"}
		}
		p.Add(r)
	}
	return p
}

// verdict is the pattern that a GET of the path matches, "refused" if it is ambiguous, "bad" if it cannot be cleaned.
func verdict(p *Paths[string], method, target string) string {
	clean, ok := CleanPath(nil, []byte(target))
	if !ok {
		return "bad"
	}
	rule, _ := p.Match(clean, []byte(method), nil, nil)
	if rule == nil {
		return "none"
	}
	if _, _, ambiguous := p.Ambiguous(nil, []byte(target), clean, []byte(method), nil, nil, rule); ambiguous {
		return "refused"
	}
	return rule.Pattern
}

func TestAmbiguousPaths(t *testing.T) {
	const a, b = "~1", "~2"
	admin := []string{"/ " + a, "/admin/ " + b}
	for _, tc := range []struct {
		rules        []string
		method, path string
		want         string
	}{
		// Spellings that attackers use to reach /admin/, or to leave a directory below it.
		{admin, "GET", "/admin/../x", "refused"},
		{admin, "GET", "/x/../admin/", "refused"},
		{admin, "GET", "/x/..%2fadmin/", "refused"},
		{admin, "GET", "/x%2f../admin/y", "refused"},
		{admin, "GET", "/%61dmin/", "refused"},
		{admin, "GET", "/x/%2e%2e/admin/", "refused"},
		{admin, "GET", "//admin/", "refused"},
		{admin, "GET", "//x/admin/", "refused"}, // x is a host for some
		{admin, "GET", "/admin%2f..%2fx", "refused"},
		{admin, "GET", "/admin/%2e%2e/x", "refused"},
		{admin, "GET", "/x/..;/admin/y", "refused"},
		{admin, "GET", "/x;/../admin/y", "refused"},
		{admin, "GET", "/admin;x/y", "refused"},
		{admin, "GET", "/admin%3bx/y", "refused"},
		{admin, "GET", `/admin\y`, "refused"},
		{admin, "GET", `/x/..\admin/`, "refused"},
		{admin, "GET", "/admin%5cy", "refused"},
		{admin, "GET", "/x/..%5cadmin/", "refused"},
		{admin, "GET", "/admin%252fy", "refused"},
		{admin, "GET", "/%2561dmin/y", "refused"},
		{admin, "GET", "/%25%36%31dmin/y", "refused"},
		{admin, "GET", "/x/%252e%252e/admin/", "refused"},
		{admin, "GET", "/x/%25%32%65%252e/admin/", "refused"},
		{admin, "GET", "/x//../admin/y", "refused"},
		{admin, "GET", "/a%2fb/%2e%2e/%61dmin/", "refused"},
		{admin, "GET", "/../admin/", "bad"},

		// Targets of harmless clients.
		{admin, "GET", "/", "/"},
		{admin, "GET", "/a/./b/../c", "/"},
		{admin, "GET", "/admin/a/../b", "/admin/"},
		{admin, "GET", "/files/a%2fb", "/"},
		{admin, "GET", "/files/a%2fb%20c%5cd", "/"},
		{admin, "GET", "/admin/a%2fb", "/admin/"},
		{admin, "GET", "/proxy/https%3A%2F%2Fexample.com%2Fa%2520b", "/"},
		{admin, "GET", "/caf%C3%A9/%7Euser/100%25", "/"},
		{admin, "GET", "/100%2525zz%25", "/"},
		{admin, "GET", "/shop;jsessionid=1/cart", "/"},
		{admin, "GET", "/a;b/https%3a%2f%2fx", "/"},
		{admin, "GET", "/a//b", "/"},
		{admin, "GET", "//a/b", "/"},
		{admin, "GET", "/...", "/"},
		{admin, "GET", "/.well-known/x", "/"},
		{admin, "GET", "/..a/a../b..", "/"},
		{[]string{"/ " + a, "/café/ " + b}, "GET", "/caf%C3%A9/%20", "/café/"},
		{[]string{"/ " + a, "/100%/ " + b}, "GET", "/100%25/x", "/100%/"},
		{[]string{"/ " + a, "/a b/ " + b}, "GET", "/a%20b/x", "/a b/"},

		// The same treatment on both sides: nothing to bypass.
		{[]string{"/ " + a, "/api/ " + a}, "GET", "//api/x", "/api/"},
		{[]string{"/ " + a, "/api/ " + a}, "GET", "/api/..%2fx", "/"},
		{[]string{"/ " + a}, "GET", `/x/..%2f..\%252e`, "/"},
		{[]string{"/ " + a}, "GET", `/x/y/..%2f..\%252e;a//b`, "/"},
		{[]string{"/ " + a + " get"}, "GET", "/x%2f../y", "/"},
		// A rewritten path is resolved within its prefix.
		{[]string{"/ " + a + " rewrites"}, "GET", "/a%2fb/../../x", "refused"},
		{[]string{"/ " + a + " rewrites"}, "GET", "/a/../x", "/"},
		// Methods are part of a rule.
		{[]string{"/ " + a, "/api/ " + a + " get"}, "POST", "/api/../x", "refused"},
		{[]string{"/ " + a, "/api/ " + a + " get"}, "GET", "/api/../x", "/"},
		{[]string{"/ " + a, "/api/ " + a + " get"}, "POST", "/api%2f..%2fx", "refused"},
		// A path without a rule must not be reachable either.
		{[]string{"/api/ " + a}, "GET", "//api/x", "refused"},
		{[]string{"/api/ " + a}, "GET", "/api/a//b", "/api/"},
		{[]string{"/api/ " + a}, "GET", "/api/%2e%2e%2fapi/x", "refused"},
		// Exact paths.
		{[]string{"/ " + a, "= /exact " + b}, "GET", "/exact;x", "refused"},
		{[]string{"/ " + a, "= /exact " + b}, "GET", "/%65xact", "refused"},
		{[]string{"/ " + a, "= /exact " + b}, "GET", "/exact%2f", "/"},
		{[]string{"/files/ " + a, "= /files/a/b " + b}, "GET", "/files/a%2fb", "refused"},
		{[]string{"/ " + a, "/a/b ~2", "= /a/b/c ~1"}, "GET", "/a//b%2fc", "refused"},
		{[]string{"= / " + b, "/ " + a}, "GET", "//host", "refused"},
		// No other classes.
		{[]string{"/ ~0", "/x/ ~0"}, "GET", "//x/", "refused"},
		// With ambiguous paths allowed, all classes that are matched.
		{[]string{"/ ~1 lenient", "/x/ ~2 lenient", "/admin/ ~3"}, "GET", "//x/y", "/x/"},
		{[]string{"/ ~1 lenient", "/x/ ~2 lenient", "/admin/ ~3"}, "GET", "/admin/../y", "refused"},
		{[]string{"/ ~1 lenient", "/x/ ~2 lenient", "/admin/ ~3"}, "GET", "/x%2f../y", "refused"},
		{[]string{"/ ~1 lenient", "/x/ ~2 lenient"}, "GET", "/x%2f../y", "/"},
	} {
		if got := verdict(site(tc.rules...), tc.method, tc.path); got != tc.want {
			t.Errorf("%q: %s %s: %s, want %s", tc.rules, tc.method, tc.path, got, tc.want)
		}
	}
}

func TestAmbiguousByHeaders(t *testing.T) {
	p := &Paths[int]{}
	p.Add(&Rule[int]{Path: "/", Class: 1})
	p.Add(&Rule[int]{Path: "/beta/", Class: 2, Headers: []Header{{"X-Beta", "1"}}})
	for lines, want := range map[string]bool{"": false, "X-Beta: 1\r\n": true} {
		target := []byte("/beta/../x")
		clean, _ := CleanPath(nil, target)
		rule, _ := p.Match(clean, []byte("GET"), fields(t, lines), nil)
		if _, _, got := p.Ambiguous(nil, target, clean, []byte("GET"), fields(t, lines), nil, rule); got != want {
			t.Errorf("%q: %v, want %v", lines, got, want)
		}
	}
}

func TestPrefixOfWholeSegments(t *testing.T) {
	p := &Paths[int]{}
	p.Add(&Rule[int]{Path: "/img", CutOff: true})
	p.Add(&Rule[int]{Path: "/css/", CutOff: true})
	for path, want := range map[string]bool{"/img": true, "/img/": true, "/img/a": true, "/imga": false, "/css/a": true, "/css/": true} {
		if rule, _ := p.Match([]byte(path), []byte("GET"), nil, nil); (rule != nil) != want {
			t.Errorf("%s: %v", path, rule)
		}
	}
}

// backends are the interpretations of a path by applications and servers. They share no code with what is tested.
var backends = map[string]func(string) string{
	"as written": func(s string) string { return s },
	"decoded":    unescaped,
	"RFC 3986":   withoutDots,
	"RFC 3986, then decoded": func(s string) string {
		return unescaped(withoutDots(s))
	},
	"decoded, then RFC 3986": func(s string) string { return withoutDots(unescaped(s)) },
	"nginx, Go":              func(s string) string { return cleaned(unescaped(s)) },
	"cleaned as written":     cleaned,
	"cleaned, then decoded":  func(s string) string { return unescaped(cleaned(s)) },
	"Apache, slashes left": func(s string) string {
		return cleaned(unescaped(strings.NewReplacer("%2f", "%252f", "%2F", "%252F", "%5c", "%255c", "%5C", "%255C").Replace(s)))
	},
	"WHATWG": func(s string) string {
		s = strings.ReplaceAll(s, `\`, "/")
		for len(s) > 1 && s[1] == '/' { // a host precedes the path
			s = s[1:]
			if i := strings.IndexByte(s[1:], '/'); i > 0 {
				s = s[1+i:]
				break
			} else if i < 0 {
				return "/"
			}
		}
		return withoutDots(strings.NewReplacer("%2e", ".", "%2E", ".").Replace(s))
	},
	"Tomcat":                func(s string) string { return cleaned(unescaped(withoutParameters(s))) },
	"decoded, parameters":   func(s string) string { return cleaned(withoutParameters(unescaped(s))) },
	"as written, IIS":       func(s string) string { return cleaned(strings.ReplaceAll(s, `\`, "/")) },
	"IIS":                   func(s string) string { return cleaned(strings.ReplaceAll(unescaped(s), `\`, "/")) },
	"decoded twice":         func(s string) string { return unescaped(unescaped(s)) },
	"decoded twice, clean":  func(s string) string { return cleaned(unescaped(unescaped(s))) },
	"clean, decoded, clean": func(s string) string { return cleaned(unescaped(cleaned(unescaped(s)))) },
}

func unescaped(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// withoutDots is section 5.2.4 of RFC 3986, which keeps empty segments.
func withoutDots(s string) string {
	var out []string
	segments := strings.Split(s, "/")[1:]
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		case ".":
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, segment)
		}
	}
	return "/" + strings.Join(out, "/")
}

func cleaned(s string) string {
	clean := path.Clean("/" + s)
	if last := s[strings.LastIndexByte(s, '/')+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

func withoutParameters(s string) string {
	segments := strings.Split(s, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	return strings.Join(segments, "/")
}

// FuzzBackends: no accepted path is read by one of these backends as a path with a different configured treatment.
func FuzzBackends(f *testing.F) {
	for _, s := range []string{
		"/admin/../x", "/x/..%2fadmin/", "/%61dmin/", "/x/%2e%2e/admin/", "//admin/", "/admin%2f..%2fx", "/x;/../admin/", `/x\..\admin/`, "/x/%252e%252e/admin/",
		"/app/a/../b", "/app//b", "/app/a%2fb", "/app/a;b/c", "//x/app/", "/app/%2561%5c", "/app/..;/x", "/a%2fb/%2e%2e/%61dmin/", "/secret", "/app/x%2f", "/app;/x/../y", "/%25%32%65",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if target == "" || target[0] != '/' || strings.IndexFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '?' || r == '#' }) >= 0 {
			return // the front refuses it, or it is none
		}
		for _, p := range judgedSites() {
			judge(t, p, target)
		}
	})
}

// TestBackends is FuzzBackends with combinations of the relevant pieces.
func TestBackends(t *testing.T) {
	pieces := []string{"/", "/", "/", ".", "..", "%2e", "%2F", "%5c", `\`, ";", "%3b", "%25", "2e", "2f", "5C", "%32", "admin", "admin/", "%61dmin", "app", "app/x", "secret", "a", "b", "c", "x"}
	random := rand.New(rand.NewPCG(1, 2))
	passed, sites := 0, judgedSites()
	for range 60_000 {
		target := "/"
		for range 1 + random.IntN(8) {
			target += pieces[random.IntN(len(pieces))]
		}
		if judge(t, sites[random.IntN(len(sites))], target) {
			passed++
		}
	}
	if passed < 10_000 {
		t.Errorf("only %d paths passed", passed)
	}
}

func judgedSites() []*Paths[string] {
	sites := []*Paths[string]{
		site("/ ~1", "/admin/ ~2"), site("/ ~1", "/admin ~2"), site("/ ~2", "/app/ ~1"), site("/app/ ~1"), site("/ ~1", "/app/ ~2", "/app/x/ ~3", "= /app/x/y ~1"),
		site("/ ~1", "= /secret ~2", "= / ~3"), site("/ ~1", "/a/b ~2", "= /a/b/c ~1"), site("/ ~1", "/a/ ~2 get"),
	}
	for _, p := range sites {
		for _, r := range p.prefixes {
			if r.Path != "/" && strings.HasSuffix(r.Path, "/") {
				r.Slash = &Rule[string]{Action: "redirect", Path: r.Path, Class: r.Class}
			}
		}
	}
	return sites
}

// judge fails if a backend reads a path as one of another class than lb does, and reports whether the path is accepted.
func judge(t *testing.T, p *Paths[string], target string) (passes bool) {
	clean, ok := CleanPath(nil, []byte(target))
	if !ok {
		return false
	}
	for _, method := range []string{"GET", "POST"} {
		rule, _ := p.Match(clean, []byte(method), nil, nil)
		if rule == nil || rule.Action == "redirect" { // no backend gets it
			continue
		}
		if _, _, ambiguous := p.Ambiguous(nil, []byte(target), clean, []byte(method), nil, nil, rule); ambiguous {
			continue
		}
		passes = true
		for name, backend := range backends {
			seen := backend(target)
			if other, _ := p.Match([]byte(seen), []byte(method), nil, nil); other == nil || other.Class != rule.Class {
				t.Fatalf("%s %q matches %s; %s reads %q, which matches %+v", method, target, rule.Action, name, seen, other)
			}
		}
	}
	return passes
}

func TestAmbiguousAllocatesNothing(t *testing.T) {
	p := site("/ ~1", "/admin/ ~2")
	scratch, out := make([]byte, 0, 64), make([]byte, 0, 64)
	for _, target := range []string{"/a/b", "/a%2fb;c/%252f", "/a/../b", "//a/b", "/admin/../x"} {
		target := []byte(target)
		if n := testing.AllocsPerRun(100, func() {
			clean, _ := CleanPath(scratch, target)
			rule, _ := p.Match(clean, []byte("GET"), nil, nil)
			_, out, _ = p.Ambiguous(out, target, clean, []byte("GET"), nil, nil, rule)
		}); n != 0 {
			t.Errorf("%s: %v allocations", target, n)
		}
	}
}

func TestUnresolved(t *testing.T) {
	for path, want := range map[string]bool{
		"/": false, "/a/b": false, "/a%2fb": false, "/a;b/c": false, "/.well-known/x": false, "/a..b": false, "/...": false, "*": false,
		"/a/../b": true, "/a/./b": true, "/a/..": true, "/a//b": true, "//a": true, "/a/%2e%2e/b": true, "/a/..%2fb": true, "/a/%252e%252e/b": true,
		"/a/..;/b": true, "/a/..%5cb": true,
	} {
		if got := Unresolved([]byte(path)); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}
