// Package dns finds addresses and services by their names: in the hosts file and at name servers, with how long the
// answers hold.
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// LookupTimeout bounds one lookup, with all the queries that it takes: it is what its caller's context has at most.
const LookupTimeout = 5 * time.Second

// Resolver looks up names: addresses in the hosts file, and otherwise records at the name servers. It is used from
// one goroutine.
//
// It is used instead of net.Resolver, which returns neither the time to live of an answer, nor its server, nor its
// additional addresses.
type Resolver struct {
	Config   func() Config // read again for each lookup
	Hosts    string        // the path of the hosts file
	Exchange Exchange

	found string // the complete name that was found last
	turn  int    // lookups so far, for Config.Rotate
}

// Exchange asks one server, "host:port".
type Exchange func(ctx context.Context, server string, question dnsmessage.Question, c *Config) (*dnsmessage.Message, error)

// New returns a resolver that uses a server, "host:port", or if that is empty those of the system.
func New(server string) *Resolver {
	conf := func() Config { return readResolvConf("/etc/resolv.conf") }
	if server != "" { // names are complete then
		conf = func() Config { return Config{Servers: []string{server}} }
	}
	return &Resolver{Config: conf, Hosts: "/etc/hosts", Exchange: exchange}
}

// lookup holds the queries of one lookup.
type lookup struct {
	conf     Config
	exchange Exchange
	first    atomic.Int32 // index of the server to ask first: the one that answered last
}

func (r *Resolver) begin() *lookup {
	q := &lookup{conf: r.Config(), exchange: r.Exchange}
	if q.conf.Rotate {
		q.first.Store(int32(r.turn % len(q.conf.Servers)))
		r.turn++
	}
	return q
}

// search tries the complete names for a configured one, in order, until ask finds one. The error is ErrNoRecord only
// if every name server said so for every name.
//
// A server that fails for one name does not end the search, as with the system's own resolver: some always fail for
// foreign search domains. It does end the search for the name that was found last, since the failure could otherwise
// lead to another host of the same name in the next domain.
func (r *Resolver) search(ctx context.Context, q *lookup, name string, ask func(full string) error) error {
	failure := ErrNoRecord
	for _, full := range q.conf.names(name) {
		err := ask(full)
		if err == nil {
			r.found = full
			return nil
		}
		if errors.Is(err, ErrNoRecord) {
			continue
		}
		failure = err
		if _, answered := errors.AsType[*codeError](err); !answered || full == r.found || ctx.Err() != nil {
			break
		}
	}
	return failure
}

// Addresses are the addresses of a name, of one family or of both.
type Addresses struct {
	IPs []netip.Addr
	TTL time.Duration // how long they may be used
	Err error         // ErrNoRecord: there are none
}

// Lookup finds the addresses of a name, IPv4 and IPv6. Addresses from the hosts file, and an address in place of a
// name, have a time to live of 0, so that the next lookup sees a change. The error is ErrNoRecord if there is no such
// name or it has no address.
func (r *Resolver) Lookup(ctx context.Context, name string) (found [2]Addresses, err error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return bothFamilies([]netip.Addr{ip.Unmap()}), nil
	}
	if addresses := lookupHosts(r.Hosts, name); len(addresses) > 0 {
		return bothFamilies(addresses), nil
	}
	q := r.begin()
	err = r.search(ctx, q, name, func(full string) error {
		found = q.addresses(ctx, full)
		return worse(found[0].Err, found[1].Err)
	})
	return found, err
}

// bothFamilies splits addresses by family.
func bothFamilies(addresses []netip.Addr) (found [2]Addresses) {
	for _, a := range addresses {
		i := 0
		if a.Is6() {
			i = 1
		}
		found[i].IPs = append(found[i].IPs, a)
	}
	return found
}

// worse returns nil if one of the two is nil, and otherwise the more informative error: that of a server that failed
// rather than of a missing record.
func worse(a, b error) error {
	switch {
	case a == nil || b == nil:
		return nil
	case errors.Is(a, ErrNoRecord):
		return b
	}
	return a
}

// addresses queries both families of a complete name at the same time.
func (q *lookup) addresses(ctx context.Context, full string) (found [2]Addresses) {
	var running sync.WaitGroup
	for i, kind := range [2]dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		running.Go(func() {
			a, err := q.query(ctx, full, kind)
			if err != nil {
				found[i].Err = err
				return
			}
			found[i].TTL = a.ttl()
			for j := range a.Answers {
				if ip, ok := addressIn(&a.Answers[j]); ok && a.Answers[j].Header.Type == kind {
					found[i].IPs = append(found[i].IPs, ip)
				}
			}
		})
	}
	running.Wait()
	return found
}

// query queries records of a complete name, at one server after another until one says whether there are any. Each is
// asked once: a lost packet costs an interval, during which the last known set stays. The answer has at least one
// record of that kind. The error is ErrNoRecord or that of the last server.
func (q *lookup) query(ctx context.Context, full string, kind dnsmessage.Type) (*answer, error) {
	full = strings.TrimSuffix(full, ".")
	name, err := dnsmessage.NewName(full + ".")
	if err != nil || !ValidName(full) {
		return nil, fmt.Errorf("%q is not a name", full)
	}
	question := dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}
	first, servers := int(q.first.Load()), q.conf.Servers
	for i := range servers {
		n := (first + i) % len(servers)
		var m *dnsmessage.Message
		if m, err = q.exchange(ctx, servers[n], question, &q.conf); err == nil {
			err = verdict(m, kind)
		}
		if err == nil || errors.Is(err, ErrNoRecord) {
			q.first.Store(int32(n))
			return &answer{m, servers[n]}, err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// ValidName reports whether s can be a host name: labels of letters, digits, hyphens and underscores.
func ValidName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' {
		return false
	}
	label := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
			continue
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return true
}
