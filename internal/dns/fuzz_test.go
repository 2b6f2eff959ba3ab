package dns

import (
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// FuzzSRV: records from any packet have a time to live within the bounds.
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
		m, err := ParseAnswer(packet, 7, question)
		if err != nil || verdict(m, dnsmessage.TypeSRV) != nil {
			return
		}
		s := readSRV(&answer{m, "127.0.0.1:53"})
		if len(s.Records) == 0 || s.TTL < 0 || s.TTL > MaxTTL {
			t.Errorf("%d records, TTL %v", len(s.Records), s.TTL)
		}
		for name, a := range s.Targets {
			if len(a.IPs) == 0 {
				t.Errorf("the target %q is known without an address", name)
			}
		}
	})
}

// FuzzHosts: only addresses are returned from any hosts file.
func FuzzHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost app # here\n::1 APP.\nfe80::1%eth0 app", "app")
	f.Fuzz(func(t *testing.T, text, name string) {
		for _, a := range parseHosts(text, name) {
			if !a.IsValid() || a.Is4In6() {
				t.Errorf("%q of %q", a, name)
			}
		}
	})
}
