package lbtest

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

// DNS is an authoritative name server for app.test and, where it has SRV records, for their targets; over
// UDP and TCP on one port. Its fields are changed by Change while it serves.
type DNS struct {
	Address string // "host:port"; "" without a network

	mu        sync.Mutex
	Addresses []netip.Addr
	Code      dnsmessage.RCode
	FailIPv6  bool // SERVFAIL to AAAA only
	Silent    bool // no answer at all
	Truncate  bool // over UDP: an empty, truncated answer
	SRV       []dnsmessage.SRVResource
	Targets   map[string][]netip.Addr         // by name with its dot
	Broken    map[string]bool                 // targets that get SERVFAIL
	Along     bool                            // the targets' addresses come with the SRV records
	Takes     time.Duration                   // before Exchange answers
	Garbage   bool                            // before the answer, packets that do not belong to the query
	TTL       uint32                          // seconds
	TTLIPv6   uint32                          // seconds, of AAAA records; 0: TTL
	Aliases   []uint32                        // times to live of the CNAMEs that lead from app.test to its addresses
	Asked     map[dnsmessage.Type][]time.Time // when
	Names     []string                        // that were asked for
	OverTCP   int
}

// NewDNS returns a server without a network, to be queried by Exchange, whose answers have a time to live of 0.
func NewDNS() *DNS { return &DNS{Asked: make(map[dnsmessage.Type][]time.Time)} }

// StartDNS starts a server on the loopback.
func StartDNS(t testing.TB) *DNS {
	t.Helper()
	return StartDNSAt(t, "127.0.0.1")
}

// StartDNSAt starts a server at that address, on a port of its own.
func StartDNSAt(t testing.TB, host string) *DNS {
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
	s := NewDNS()
	s.Address = listener.Addr().String()
	var running sync.WaitGroup
	running.Go(func() { s.serveUDP(packets) })
	running.Go(func() { s.serveTCP(listener) })
	t.Cleanup(func() { _ = packets.Close(); _ = listener.Close(); running.Wait() })
	return s
}

func (s *DNS) serveUDP(packets net.PacketConn) {
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

func (s *DNS) serveTCP(listener net.Listener) {
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
func (s *DNS) answer(query []byte, udp bool) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	question := m.Questions[0]
	s.Asked[question.Type] = append(s.Asked[question.Type], time.Now())
	s.Names = append(s.Names, question.Name.String())
	if !udp {
		s.OverTCP++
	}
	m = dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RCode: s.Code}, Questions: m.Questions}
	switch {
	case s.Silent:
		return nil
	case s.Truncate && udp:
		m.Truncated = true
	case s.Code != dnsmessage.RCodeSuccess:
	case s.Broken[question.Name.String()]:
		m.RCode = dnsmessage.RCodeServerFailure
	case question.Name.String() != "app.test." && s.Targets[question.Name.String()] == nil:
		m.RCode = dnsmessage.RCodeNameError
	case s.FailIPv6 && question.Type == dnsmessage.TypeAAAA:
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

func (s *DNS) records(question dnsmessage.Question) (answers, along []dnsmessage.Resource) {
	name := question.Name.String()
	if question.Type == dnsmessage.TypeSRV {
		for i := range s.SRV {
			header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET, TTL: s.TTL}
			answers = append(answers, dnsmessage.Resource{Header: header, Body: &s.SRV[i]})
			target := strings.ToLower(s.SRV[i].Target.String())
			if s.Along && s.Targets[target] != nil {
				along = append(along, s.addressRecords(target, s.Targets[target], dnsmessage.TypeA)...)
				along = append(along, s.addressRecords(target, s.Targets[target], dnsmessage.TypeAAAA)...)
			}
		}
		return answers, along
	}
	if addresses := s.Targets[name]; addresses != nil {
		return s.addressRecords(name, addresses, question.Type), nil
	}
	for i, ttl := range s.Aliases {
		header := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET, TTL: ttl}
		name = fmt.Sprintf("alias%d.test.", i)
		answers = append(answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(name)}})
	}
	return append(answers, s.addressRecords(name, s.Addresses, question.Type)...), nil
}

func (s *DNS) addressRecords(name string, addresses []netip.Addr, kind dnsmessage.Type) (records []dnsmessage.Resource) {
	for _, a := range addresses {
		header := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET, TTL: s.TTL}
		if kind == dnsmessage.TypeAAAA && s.TTLIPv6 > 0 {
			header.TTL = s.TTLIPv6
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

// Exchange asks the server without a network, for tests in fake time. A silent server makes it wait.
func (s *DNS) Exchange(ctx context.Context, question dnsmessage.Question, wait time.Duration) (*dnsmessage.Message, error) {
	query := dnsmessage.Message{Header: dnsmessage.Header{RecursionDesired: true}, Questions: []dnsmessage.Question{question}}
	packed, err := query.Pack()
	if err != nil {
		return nil, err
	}
	if s.Takes > 0 {
		time.Sleep(s.Takes)
	}
	if packet := s.answer(packed, true); packet != nil {
		m := new(dnsmessage.Message)
		return m, m.Unpack(packet)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(wait):
		return nil, context.DeadlineExceeded
	}
}

func (s *DNS) garbles() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Garbage
}

// Change runs f while no query is answered.
func (s *DNS) Change(f func(s *DNS)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// ChangeBetween runs f between two lookups: when as many A as AAAA queries have been answered.
func (s *DNS) ChangeBetween(t testing.TB, f func(s *DNS)) {
	t.Helper()
	done := false
	for deadline := time.Now().Add(10 * time.Second); !done; time.Sleep(50 * time.Microsecond) {
		s.Change(func(s *DNS) {
			if done = len(s.Asked[dnsmessage.TypeA]) == len(s.Asked[dnsmessage.TypeAAAA]); done {
				f(s)
			}
		})
		if time.Now().After(deadline) {
			t.Fatal("no moment between two lookups within 10s")
		}
	}
}

// Count returns how many queries of a kind there were.
func (s *DNS) Count(kind dnsmessage.Type) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.Asked[kind])
}

// Addresses parses addresses.
func Addresses(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// When returns the times of the queries, relative to start.
func (s *DNS) When(kind dnsmessage.Type, start time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []time.Duration
	for _, at := range s.Asked[kind] {
		out = append(out, at.Sub(start))
	}
	return out
}
