package server

import (
	"context"
	"testing"
	"testing/synctest"

	"lb/config"
)

func dnsSource(port int) config.Discover {
	return config.Discover{DNS: &config.DiscoverDNS{Name: "app", Port: port}}
}

// TestEndDiscoveryWaits: a changed or removed source has ended, and publishes nothing more, before anything else is done.
func TestEndDiscoveryWaits(t *testing.T) {
	for name, wanted := range map[string][]source{
		"removed": nil,
		"changed": sources([]config.Discover{dnsSource(81)}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				old := &discoveryRun{config: dnsSource(80), cancel: cancel, done: make(chan struct{})}
				run := &poolRun{discovery: map[string]*discoveryRun{"dns:app": old}}
				ended := false
				go func() { run.endDiscovery(wanted); ended = true }()
				synctest.Wait()
				if ctx.Err() == nil || ended {
					t.Errorf("cancelled: %v, returned before the end: %v", ctx.Err() != nil, ended)
				}
				close(old.done)
				synctest.Wait()
				if !ended || len(run.discovery) > 0 {
					t.Errorf("returned: %v, sources left: %d", ended, len(run.discovery))
				}
			})
		})
	}
}

// TestEndDiscoveryLeavesTheSame: an unchanged source continues to run.
func TestEndDiscoveryLeavesTheSame(t *testing.T) {
	same := &discoveryRun{config: dnsSource(80), cancel: func() { t.Error("cancelled") }, done: make(chan struct{})}
	run := &poolRun{discovery: map[string]*discoveryRun{"dns:app": same}}
	run.endDiscovery(sources([]config.Discover{dnsSource(80), dnsSource(81)}))
	if run.discovery["dns:app"] != same {
		t.Error("the source has ended")
	}
}

// TestSourceNames: a name identifies where a source looks, so that other changes keep the members.
func TestSourceNames(t *testing.T) {
	list := sources([]config.Discover{
		dnsSource(80), dnsSource(81), {File: &config.DiscoverFile{Path: "/f"}},
		{Docker: &config.DiscoverDocker{Label: "l=v", Port: 1}}, {Consul: &config.DiscoverConsul{Service: "s", Tag: "t"}},
	})
	for i, want := range []string{"dns:app", "dns:app#2", "file:/f", "docker:l=v", "consul:s"} {
		if list[i].name != want {
			t.Errorf("source %d is %q, want %q", i, list[i].name, want)
		}
	}
}
