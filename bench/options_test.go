package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	o, err := parseOptions([]string{"-only", "idle50, proxy1k", "-idle", "50", "-peers", "haproxy", "-lb", "old=/a/lb,new=/b/lb"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.scenarios) != 2 || o.scenarios[0].name != "proxy1k" || o.scenarios[1].name != "idle50" {
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
	if want := []build{{"lb", "/a/lb"}}; !slices.Equal(o.builds, want) || len(o.scenarios) != len(allScenarios(o)) {
		t.Errorf("builds %v, %d scenarios", o.builds, len(o.scenarios))
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for _, arguments := range []string{
		"-only proxy2k", "-peers traefik", "-rounds 0", "-duration 0s", "-cpus 0", "-lb nginx=/x", "-lb a=",
		"-lb a=/x,a=/y", "-lb /x,/y", "-idle 0", "-rate 5,5", "-rate x", "-backends ,",
		"-subject x", "-subject =x{listen}", "-subject a=b", "-subject nginx=x{listen}", "-lb a=/x -subject a={listen}", "-unknown", "extra",
	} {
		if _, err := parseOptions(strings.Fields(arguments), io.Discard); err == nil {
			t.Errorf("%s: no error", arguments)
		}
	}
}

func TestScenariosAreChosenByGroup(t *testing.T) {
	o, err := parseOptions([]string{"-only", "rate,tls-proxy", "-rate", "30,20"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := scenarioNames(o.scenarios), []string{"rate30", "rate20", "tls-proxy"}; !slices.Equal(got, want) {
		t.Errorf("scenarios %q, want %q", got, want)
	}
	if o.scenarios[0].rate != 30 {
		t.Errorf("rate %d, want 30", o.scenarios[0].rate)
	}
	_, err = parseOptions([]string{"-only", "proxy2k"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "core, h2, h3, idle, ") || !strings.Contains(err.Error(), "static100k") {
		t.Errorf("error %v, want one that lists groups and scenarios", err)
	}
}

// The metrics and the file that a scenario names must exist.
func TestScenariosAreComplete(t *testing.T) {
	seen := make(map[string]bool)
	all := allScenarios(testOptions(t))
	for _, s := range all {
		if seen[s.name] || s.title == "" || s.text == "" || len(s.need) == 0 || s.measure == nil || len(s.metrics) == 0 {
			t.Errorf("%+v is a duplicate or lacks something", s)
		}
		seen[s.name] = true
	}
	for _, name := range strings.Split("proxy1k,proxy1k-c512,rate300,post1k,static1k,static10m,handshake-proxy,idle80,backends,accesslog,updown", ",") {
		if !seen[name] {
			t.Errorf("no scenario %q", name)
		}
	}
	for _, group := range groupNames(all) {
		if seen[group] {
			t.Errorf("%q is both a scenario and a group", group)
		}
	}
}
