package pool

import "testing"

// TestNewSourcesAreAwaited: members that an Apply removes stay until the sources that are new or restarted with it have published.
func TestNewSourcesAreAwaited(t *testing.T) {
	static := func(sources []string, restarted []string, addresses ...string) Options {
		return Options{Members: at(addresses...), Sources: sources, Restarted: restarted}
	}
	dns, both := []string{"dns"}, []string{"dns", "file"}
	p := New(static(nil, nil, "a", "b"))
	defer p.Close()
	b := p.Backend("b")
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"two new sources", func() { p.Apply(static(both, nil, "c")) }, "c a b"},
		{"the first publishes", func() { p.SetMembers("dns", at("a")) }, "c a b"},
		{"and no longer has a", func() { p.SetMembers("dns", at("d")) }, "c d b"},
		{"c is removed by itself", func() { p.Apply(static(both, nil)) }, "d b"},
		{"the other publishes", func() { p.SetMembers("file", at("e")) }, "d e"},
		{"a source restarts", func() { p.Apply(static(dns, dns)) }, "d e"},
		{"a reload meanwhile", func() { p.Apply(static(dns, nil)) }, "d e"},
		{"it publishes", func() { p.SetMembers("dns", at("e")) }, "e"},
		{"no source is awaited", func() { p.Apply(static(nil, nil, "a")) }, "a"},
		{"a new source fails", func() { p.Apply(static(dns, nil, "a")) }, "a"},
		{"the rest is removed", func() { p.Apply(static(dns, nil)) }, "a"},
		{"for good", func() { p.Apply(static(nil, nil)) }, ""},
	} {
		step.do()
		if got := addresses(p.Backends()); got != step.want {
			t.Fatalf("%s: members %q, want %q", step.what, got, step.want)
		}
		if p.Backend("b") != nil && p.Backend("b") != b {
			t.Fatalf("%s: b is another backend", step.what)
		}
	}
	p.Apply(Options{Members: []Member{{Address: "m", Weight: 3, MaxConns: 4, Backup: true}}})
	p.Apply(static(dns, nil))
	if m := p.Backend("m").Status(); m.Weight != 3 || m.MaxConns != 4 || !m.Backup {
		t.Errorf("a kept member lost its settings: %+v", m)
	}
}
