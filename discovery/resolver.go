package discovery

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

// resolver finds what belongs to a name: addresses in the hosts file, and else records at the name servers.
// It is used from one goroutine.
//
// net.Resolver is not used: it passes on neither how long an answer holds, nor which server gave it, nor
// the addresses that came with it.
type resolver struct {
	conf     func() resolvConf // read anew for each lookup
	hosts    string            // the hosts file
	exchange exchange
	found    string // the complete name that was found last
	turn     int    // lookups so far, for resolvConf.rotate
}

// exchange asks one server.
type exchange func(ctx context.Context, server string, question dnsmessage.Question, c *resolvConf) (*dnsmessage.Message, error)

// newResolver makes one that asks a server, "host:port", or if that is empty those of the system.
func newResolver(server string) *resolver {
	conf := func() resolvConf { return readResolvConf("/etc/resolv.conf") }
	if server != "" { // a name is then complete
		conf = func() resolvConf { return resolvConf{servers: []string{server}} }
	}
	return &resolver{conf: conf, hosts: "/etc/hosts", exchange: exchangeDNS}
}

// inquiry is the queries of one lookup.
type inquiry struct {
	conf     resolvConf
	exchange exchange
	first    atomic.Int32 // which of the servers is asked first: the one that answered last
}

func (r *resolver) begin() *inquiry {
	q := &inquiry{conf: r.conf(), exchange: r.exchange}
	if q.conf.rotate {
		q.first.Store(int32(r.turn % len(q.conf.servers)))
		r.turn++
	}
	return q
}

// search tries the complete names that a written one can stand for, in order, until ask finds one. The
// error is errNoRecord only if every name server said so of every name.
//
// A server that fails for one name does not end the search, as with the system's own resolver: some
// always fail for a search domain that is none of theirs. But for the name that was found
// last it does, lest that failure lead to another host of the same name in the next domain.
func (r *resolver) search(ctx context.Context, q *inquiry, name string, ask func(full string) error) error {
	failure := errNoRecord
	for _, full := range q.conf.names(name) {
		err := ask(full)
		if err == nil {
			r.found = full
			return nil
		}
		if errors.Is(err, errNoRecord) {
			continue
		}
		failure = err
		if _, answered := errors.AsType[*codeError](err); !answered || full == r.found || ctx.Err() != nil {
			break
		}
	}
	return failure
}

// family is what was found of a name's addresses of one family.
type family struct {
	addresses []netip.Addr
	ttl       time.Duration // how long they hold
	err       error         // errNoRecord: there are none
}

// lookup finds the addresses of a name, IPv4 and IPv6. What stands in the hosts file, and an address in place
// of a name, holds for no time, so that a change is seen at the next lookup. The error is
// errNoRecord if there is no such name or it has no address.
func (r *resolver) lookup(ctx context.Context, name string) (found [2]family, err error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		return bothFamilies([]netip.Addr{ip.Unmap()}), nil
	}
	if addresses := lookupHosts(r.hosts, name); len(addresses) > 0 {
		return bothFamilies(addresses), nil
	}
	q := r.begin()
	err = r.search(ctx, q, name, func(full string) error {
		found = q.addresses(ctx, full)
		return worse(found[0].err, found[1].err)
	})
	return found, err
}

// bothFamilies sorts addresses by family.
func bothFamilies(addresses []netip.Addr) (found [2]family) {
	for _, a := range addresses {
		i := 0
		if a.Is6() {
			i = 1
		}
		found[i].addresses = append(found[i].addresses, a)
	}
	return found
}

// worse returns nil if one of two succeeded, and else the error that tells more: that of a server which
// failed rather than of an absent record.
func worse(a, b error) error {
	switch {
	case a == nil || b == nil:
		return nil
	case errors.Is(a, errNoRecord):
		return b
	}
	return a
}

// addresses asks for both families of a complete name at once.
func (q *inquiry) addresses(ctx context.Context, full string) (found [2]family) {
	var running sync.WaitGroup
	for i, kind := range [2]dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		running.Go(func() {
			a, err := q.query(ctx, full, kind)
			if err != nil {
				found[i].err = err
				return
			}
			found[i].ttl = a.ttl()
			for j := range a.Answers {
				if ip, ok := addressIn(&a.Answers[j]); ok && a.Answers[j].Header.Type == kind {
					found[i].addresses = append(found[i].addresses, ip)
				}
			}
		})
	}
	running.Wait()
	return found
}

// query asks for records of a complete name, one server after the other until one of them says whether there
// are any. Each is asked once: a packet that is lost costs an interval, during which the last known set holds.
// The answer has at least one record of that kind. The error is errNoRecord or that of the last server.
func (q *inquiry) query(ctx context.Context, full string, kind dnsmessage.Type) (*answer, error) {
	full = strings.TrimSuffix(full, ".")
	name, err := dnsmessage.NewName(full + ".")
	if err != nil || !validName(full) {
		return nil, fmt.Errorf("%q is not a name", full)
	}
	question := dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}
	first, servers := int(q.first.Load()), q.conf.servers
	for i := range servers {
		n := (first + i) % len(servers)
		var m *dnsmessage.Message
		if m, err = q.exchange(ctx, servers[n], question, &q.conf); err == nil {
			err = verdict(m, kind)
		}
		if err == nil || errors.Is(err, errNoRecord) {
			q.first.Store(int32(n))
			return &answer{m, servers[n]}, err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}
