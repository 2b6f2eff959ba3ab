package discovery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer is an authoritative server for app.test and, where it has SRV records, for their targets; over
// UDP and TCP on one port.
type dnsServer struct {
	address string

	mu        sync.Mutex
	addresses []netip.Addr
	code      dnsmessage.RCode
	failIPv6  bool // SERVFAIL to AAAA only
	silent    bool // no answer at all
	truncate  bool // over UDP: an empty, truncated answer
	srv       []dnsmessage.SRVResource
	targets   map[string][]netip.Addr // by name with its dot
	broken    map[string]bool         // targets that get SERVFAIL
	along     bool                    // the targets' addresses come with the SRV records
	takes     time.Duration           // before exchange answers
	garbage   bool                    // before the answer, packets that do not belong to the query
	ttl       uint32                  // seconds
	ttlIPv6   uint32                  // seconds, of AAAA records; 0: ttl
	aliases   []uint32                // times to live of the CNAMEs that lead from app.test to its addresses
	at        map[dnsmessage.Type][]time.Time
	names     []string // that were asked for
	overTCP   int
}

// newDNS returns a server without a network, whose answers hold for no time.
func newDNS() *dnsServer { return &dnsServer{at: make(map[dnsmessage.Type][]time.Time)} }

func startDNS(t *testing.T) *dnsServer {
	t.Helper()
	return startDNSAt(t, "127.0.0.1")
}

// startDNSAt starts a server at that address, on a port of its own.
func startDNSAt(t *testing.T, host string) *dnsServer {
	t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	for range 20 { // both need the same port
		var err error
		if packets, err = net.ListenPacket("udp", host+":0"); err != nil {
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			break
		}
		_ = packets.Close()
	}
	if listener == nil {
		t.Fatal("no port that is free for both UDP and TCP")
	}
	s := newDNS()
	s.address = listener.Addr().String()
	var running sync.WaitGroup
	running.Go(func() { s.serveUDP(packets) })
	running.Go(func() { s.serveTCP(listener) })
	t.Cleanup(func() { _ = packets.Close(); _ = listener.Close(); running.Wait() })
	return s
}

func (s *dnsServer) serveUDP(packets net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := packets.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if answer := s.answer(buf[:n], true); answer != nil {
			if s.garbles() {
				_, _ = packets.WriteTo([]byte("garbage"), from)
				_, _ = packets.WriteTo(append([]byte{^answer[0]}, answer[1:]...), from) // another ID
			}
			_, _ = packets.WriteTo(answer, from)
		}
	}
}

func (s *dnsServer) serveTCP(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		_, _ = io.ReadFull(conn, size[:])
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err == nil {
			if answer := s.answer(query, false); answer != nil {
				_, _ = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(answer))))
				_, _ = conn.Write(answer)
			}
		}
		_ = conn.Close()
	}
}

// answer returns the answer to a query, nil for none.
func (s *dnsServer) answer(query []byte, udp bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	question := m.Questions[0]
	s.at[question.Type] = append(s.at[question.Type], time.Now())
	s.names = append(s.names, question.Name.String())
	if !udp {
		s.overTCP++
	}
	m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RCode: s.code}, Questions: m.Questions}
	switch {
	case s.silent:
		return nil
	case s.truncate && udp:
		m.Truncated = true
	case s.code != dnsmessage.RCodeSuccess:
	case s.broken[question.Name.String()]:
		m.RCode = dnsmessage.RCodeServerFailure
	case question.Name.String() != "app.test." && s.targets[question.Name.String()] == nil:
		m.RCode = dnsmessage.RCodeNameError
	case s.failIPv6 && question.Type == dnsmessage.TypeAAAA:
		m.RCode = dnsmessage.RCodeServerFailure
	default:
		m.Answers, m.Additionals = s.records(question)
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

func (s *dnsServer) records(question dnsmessage.Question) (answers, along []dnsmessage.Resource) {
	name := question.Name.String()
	if question.Type == dnsmessage.TypeSRV {
		for i := range s.srv {
			header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET, TTL: s.ttl}
			answers = append(answers, dnsmessage.Resource{Header: header, Body: &s.srv[i]})
			target := strings.ToLower(s.srv[i].Target.String())
			if s.along && s.targets[target] != nil {
				along = append(along, s.addressRecords(target, s.targets[target], dnsmessage.TypeA)...)
				along = append(along, s.addressRecords(target, s.targets[target], dnsmessage.TypeAAAA)...)
			}
		}
		return answers, along
	}
	if addresses := s.targets[name]; addresses != nil {
		return s.addressRecords(name, addresses, question.Type), nil
	}
	for i, ttl := range s.aliases {
		header := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET, TTL: ttl}
		name = fmt.Sprintf("alias%d.test.", i)
		answers = append(answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(name)}})
	}
	return append(answers, s.addressRecords(name, s.addresses, question.Type)...), nil
}

func (s *dnsServer) addressRecords(name string, addresses []netip.Addr, kind dnsmessage.Type) (records []dnsmessage.Resource) {
	for _, a := range addresses {
		header := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET, TTL: s.ttl}
		if kind == dnsmessage.TypeAAAA && s.ttlIPv6 > 0 {
			header.TTL = s.ttlIPv6
		}
		switch {
		case a.Is4() && kind == dnsmessage.TypeA:
			records = append(records, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && kind == dnsmessage.TypeAAAA:
			records = append(records, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return records
}

// exchange asks the server without a network, for tests in fake time.
func (s *dnsServer) exchange(ctx context.Context, _ string, question dnsmessage.Question, c *resolvConf) (*dnsmessage.Message, error) {
	query, id, err := packQuery(question)
	if err != nil {
		return nil, err
	}
	if s.takes > 0 {
		time.Sleep(s.takes)
	}
	if packet := s.answer(query, true); packet != nil {
		return unpackAnswer(packet, id, question)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(c.wait()):
		return nil, context.DeadlineExceeded
	}
}

func (s *dnsServer) garbles() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.garbage
}

// change runs f while no query is answered.
func (s *dnsServer) change(f func(s *dnsServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// changeBetween runs f between two lookups: when as many A as AAAA queries have been answered.
func (s *dnsServer) changeBetween(t *testing.T, f func(s *dnsServer)) {
	t.Helper()
	done := false
	for deadline := time.Now().Add(10 * time.Second); !done; time.Sleep(50 * time.Microsecond) {
		s.change(func(s *dnsServer) {
			if done = len(s.at[dnsmessage.TypeA]) == len(s.at[dnsmessage.TypeAAAA]); done {
				f(s)
			}
		})
		if time.Now().After(deadline) {
			t.Fatal("no moment between two lookups within 10s")
		}
	}
}

func (s *dnsServer) count(kind dnsmessage.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.at[kind])
}

func addresses(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}
