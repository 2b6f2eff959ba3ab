package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-only", "idle, proxy1k", "-peers", "haproxy", "-lb", "old=/a/lb,new=/b/lb"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.scenarios) != 2 || o.scenarios[0].name != "proxy1k" || o.scenarios[1].name != "idle" {
		t.Errorf("scenarios %v", o.scenarios)
	}
	if want := []build{{"old", "/a/lb"}, {"new", "/b/lb"}}; !slices.Equal(o.builds, want) {
		t.Errorf("builds %v, want %v", o.builds, want)
	}
	if !slices.Equal(o.peers, []string{"haproxy"}) {
		t.Errorf("peers %v", o.peers)
	}
	if o, err = parseOptions([]string{"-peers", "none", "-lb", "/a/lb"}, io.Discard); err != nil || len(o.peers) != 0 {
		t.Errorf("peers %v and %v, want none", o.peers, err)
	}
	if want := []build{{"lb", "/a/lb"}}; !slices.Equal(o.builds, want) || len(o.scenarios) != len(allScenarios()) {
		t.Errorf("builds %v, %d scenarios", o.builds, len(o.scenarios))
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for _, arguments := range []string{
		"-only proxy2k", "-peers caddy", "-rounds 0", "-duration 0s", "-cpus 0", "-lb nginx=/x", "-lb a=",
		"-lb a=/x,a=/y", "-lb /x,/y", "-unknown", "leftover",
	} {
		if _, err := parseOptions(strings.Fields(arguments), io.Discard); err == nil {
			t.Errorf("%s: no error", arguments)
		}
	}
}

// What a scenario names must be there: its metrics, and the file that it asks for.
func TestScenariosAreComplete(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range allScenarios() {
		if seen[s.name] || s.title == "" || s.text == "" || s.need == "" || s.measure == nil || len(s.metrics) == 0 {
			t.Errorf("%+v is a duplicate or lacks something", s)
		}
		seen[s.name] = true
	}
	for _, name := range strings.Split("proxy1k,static1k,static100k,tls,idle,updown", ",") {
		if !seen[name] {
			t.Errorf("no scenario %q", name)
		}
	}
}
