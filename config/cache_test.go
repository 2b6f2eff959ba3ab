package config

import (
	"strings"
	"testing"
	"time"
)

func cacheConfig(action, cache string) string {
	return "listen \":8080\" {}\nsite \"s\" {\nroute \"/\" {\ncache {\n" + cache + "\n}\n" + action + "\n}\n}\npool \"app\" {\nbackend \"127.0.0.1:1\" {}\n}\n"
}

const toApp = "proxy {\npool = \"app\"\n}"

func TestCache(t *testing.T) {
	c := mustParse(t, cacheConfig(toApp, "ttl = \"90s\"\nkey = [\"host\", \"query:a\", \"header:X-A\", \"cookie:b\"]\nmax_object = \"1KiB\"\nstale_while_revalidate = \"1m\"\nstale_if_error = \"1h\""))
	same(t, "cache", *c.Sites[0].Routes[0].Cache, Cache{TTL: 90 * time.Second, Key: []string{"host", "query:a", "header:X-A", "cookie:b"}, MaxObject: 1 << 10,
		StaleWhileRevalidate: time.Minute, StaleIfError: time.Hour})
	for _, text := range []string{"", "ttl = \"\"\nkey = []\nstale_while_revalidate = \"\"\nstale_if_error = \"\""} {
		c = mustParse(t, cacheConfig(toApp, text))
		same(t, "cache", *c.Sites[0].Routes[0].Cache, defaultCache())
	}
}

// TestCacheMistakes: what cannot work is an error that says what to write instead.
func TestCacheMistakes(t *testing.T) {
	for _, tc := range []struct{ action, cache, want, remedy string }{
		{"respond {}", "", `route "/" has a cache and no proxy`, "Remove the block"},
		{toApp, `ttl = "1500ms"`, "ttl is not a whole number of seconds", `ttl = "2s"`},
		{toApp, `ttl = "-1s"`, "is too short", "Write at least"},
		{toApp, `ttl = "1000000h"`, "ttl is too long", "Write at most"},
		{toApp, `ttl = []`, "ttl cannot be a list", "Write"},
		{toApp, `stale_if_error = "soon"`, "stale_if_error is not a duration", "Write"},
		{toApp, `key = ["path"]`, `an entry of key needs no "path"`, "always"},
		{toApp, `key = ["hosts"]`, `an entry of key cannot have "hosts"`, `Did you mean "host"?`},
		{toApp, `key = ["header:"]`, `an entry of key cannot have "header:"`, "header:NAME"},
		{toApp, `key = ["header:a b"]`, `an entry of key cannot have "header:a b"`, "header:NAME"},
		{toApp, `key = ["client_ip"]`, `an entry of key cannot have "client_ip"`, "host, query"},
		{toApp, `max_object = 0`, "max_object", "Write a size"},
		{toApp, `max_object = "2GiB"`, "max_object", "Write a size"},
		{toApp, `max_objekt = 1`, `unknown attribute "max_objekt"; did you mean "max_object"?`, ""},
		{toApp, "}\nstatic_cache {\nmemory = 0", "static_cache", ""},
	} {
		_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(cacheConfig(tc.action, tc.cache))}}, WithoutFileChecks())
		text := found.String()
		if !found.HasErrors() || !strings.Contains(text, tc.want) || !strings.Contains(text, tc.remedy) {
			t.Errorf("%s: %s", tc.cache, text)
		}
	}
	_, found := Parse([]Source{{Name: "lb.hcl", Text: []byte(cacheConfig(toApp, "") + "static_cache {\nmemory = 0\n}\n")}}, WithoutFileChecks())
	if text := found.String(); !found.HasErrors() || !strings.Contains(text, "the cache has no memory") {
		t.Error(text)
	}
	_, found = Parse([]Source{{Name: "lb.hcl", Text: []byte(cacheConfig(toApp, `key = ["query", "query:a"]`))}}, WithoutFileChecks())
	if text := found.String(); found.HasErrors() || !strings.Contains(text, "the whole query and single parameters") {
		t.Error(text)
	}
}
