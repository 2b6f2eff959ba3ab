package discovery

import (
	"context"
	"encoding/json"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"lb/internal/dns"
	"lb/internal/limits"
	"lb/pool"
)

// checkMembers fails the test unless each member is valid in a file of backends, and unique.
func checkMembers(t *testing.T, members []pool.Member) {
	t.Helper()
	seen := make(map[string]bool)
	for _, m := range members {
		if !validAddress(m.Address) || seen[m.Address] || m.Weight < 0 || m.Weight > limits.MaxWeight {
			t.Errorf("member %+v", m)
		}
		seen[m.Address] = true
	}
}

// FuzzSRV: from any packet of a name server, only valid addresses are returned.
func FuzzSRV(f *testing.F) {
	name := dnsmessage.MustNewName("app.test.")
	question := dnsmessage.Question{Name: name, Type: dnsmessage.TypeSRV, Class: dnsmessage.ClassINET}
	target := dnsmessage.MustNewName("a.test.")
	header := func(n dnsmessage.Name, kind dnsmessage.Type) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: n, Type: kind, Class: dnsmessage.ClassINET, TTL: 60}
	}
	m := dnsmessage.Message{
		Header: dnsmessage.Header{ID: 7, Response: true}, Questions: []dnsmessage.Question{question},
		Answers: []dnsmessage.Resource{
			{Header: header(name, dnsmessage.TypeSRV), Body: &dnsmessage.SRVResource{Priority: 1, Weight: 65535, Port: 80, Target: target}},
			{Header: header(name, dnsmessage.TypeSRV), Body: &dnsmessage.SRVResource{Priority: 2, Port: 0, Target: target}},
		},
		Additionals: []dnsmessage.Resource{
			{Header: header(target, dnsmessage.TypeA), Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}},
			{Header: header(target, dnsmessage.TypeAAAA), Body: &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}},
		},
	}
	packet, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packet)
	f.Fuzz(func(t *testing.T, packet []byte) {
		d := NewSRV(DNSOptions{Name: "app.test", Resolver: "127.0.0.1:53"})
		d.resolver.Hosts = ""
		d.resolver.Exchange = func(_ context.Context, _ string, q dnsmessage.Question, _ *dns.Config) (*dnsmessage.Message, error) {
			return dns.ParseAnswer(packet, 7, q)
		}
		members, ttl, err := d.round(t.Context())
		if err == nil && len(members) == 0 || ttl < 0 || ttl > dns.MaxTTL {
			t.Errorf("%d members for %v, %v", len(members), ttl, err)
		}
		checkMembers(t, members)
	})
}

// FuzzAddresses: from any packet of a name server, only valid addresses are returned, with a valid time to live.
func FuzzAddresses(f *testing.F) {
	name := dnsmessage.MustNewName("app.test.")
	question := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	for _, ttl := range []uint32{0, 60, 1 << 31} {
		header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: ttl}
		m := dnsmessage.Message{
			Header: dnsmessage.Header{ID: 7, Response: true}, Questions: []dnsmessage.Question{question},
			Answers: []dnsmessage.Resource{
				{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: name}},
				{Header: header, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}},
				{Header: header, Body: &dnsmessage.AAAAResource{AAAA: [16]byte{15: 1}}},
			},
		}
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		d := NewDNS(DNSOptions{Name: "app.test", Port: 80, Resolver: "127.0.0.1:53"})
		d.resolver.Hosts = ""
		d.resolver.Exchange = func(_ context.Context, _ string, q dnsmessage.Question, _ *dns.Config) (*dnsmessage.Message, error) {
			return dns.ParseAnswer(packet, 7, q)
		}
		members, ttl, err := d.round(t.Context())
		if err == nil && len(members) == 0 || ttl < 0 || ttl > dns.MaxTTL {
			t.Errorf("%d members for %v, %v", len(members), ttl, err)
		}
		checkMembers(t, members)
	})
}

// FuzzContainers: from any list of the engine, only valid addresses are returned.
func FuzzContainers(f *testing.F) {
	f.Add(listOf(running("a", "Up", "bridge=172.17.0.2"), running("b", "Up (unhealthy)", "bridge=172.17.0.3")), 80)
	f.Add(listOf(running("a", "Up", "x=0.0.0.0", "y=fe80::1%eth0", "z=::ffff:10.0.0.1")), 0)
	d := NewDocker(DockerOptions{Local: func() []netip.Prefix { return nil }})
	f.Fuzz(func(t *testing.T, text string, port int) {
		var containers []container
		if json.Unmarshal([]byte(text), &containers) != nil {
			return
		}
		d.options.Port = port
		checkMembers(t, d.members(containers))
	})
}

// FuzzInstances: from any list of Consul, only valid addresses are returned.
func FuzzInstances(f *testing.F) {
	f.Add(listOf(entry("10.0.0.1", "", 5000, 1), entry("::1", "app.internal", 5001, 1<<40), entry("", "[::1]", -1, -1)))
	c := NewConsul(ConsulOptions{Service: "app"})
	f.Fuzz(func(t *testing.T, text string) {
		var instances []instance
		if json.Unmarshal([]byte(text), &instances) != nil {
			return
		}
		checkMembers(t, c.members(instances))
	})
}
