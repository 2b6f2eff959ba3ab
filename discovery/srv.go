package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"lb/pool"
)

// targetLookups is how many targets are looked up at a time.
const targetLookups = 8

// SRV is the discoverer of a name's SRV records (RFC 2782). Each address of a record's target is a member,
// with the record's port and weight. Those of the lowest priority number are the primary ones, the others
// are backups.
type SRV struct {
	dnsName
	known map[string][]netip.Addr // of each target, the last known addresses
}

// NewSRV makes a discoverer of SRV records. It asks nothing before Run.
func NewSRV(o DNSOptions) *SRV { return &SRV{dnsName: newDNSName(o, "the SRV records of ")} }

// Run asks at once and then again and again; see Discoverer.
func (s *SRV) Run(ctx context.Context, update func([]pool.Member)) { s.follow(ctx, update, s.round) }

// round does one lookup and returns how long what it found holds. An answer without any address is an
// error.
func (s *SRV) round(ctx context.Context) (members []pool.Member, ttl time.Duration, err error) {
	var records *answer
	q := s.resolver.begin()
	err = s.resolver.search(ctx, q, s.text, func(full string) (err error) {
		records, err = q.query(ctx, full, dnsmessage.TypeSRV)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	a := readSRV(records)
	if err := s.addTargets(ctx, q, &a); err != nil {
		return nil, 0, err
	}
	if members = s.members(&a); len(members) == 0 {
		return nil, 0, errors.New("no target has an address")
	}
	return members, a.ttl, nil
}

// srvAnswer is an answer to a query for SRV records.
type srvAnswer struct {
	records   []dnsmessage.SRVResource // the most preferred first
	addresses map[string][]netip.Addr  // of each target, in lower case
	ttl       time.Duration            // of what holds for the shortest time
}

// readSRV takes the records out of an answer, with the addresses that came along.
func readSRV(m *answer) srvAnswer {
	a := srvAnswer{addresses: make(map[string][]netip.Addr), ttl: m.ttl()}
	wanted := make(map[string]bool)
	for i := range m.Answers {
		if srv, ok := m.Answers[i].Body.(*dnsmessage.SRVResource); ok {
			a.records = append(a.records, *srv)
			wanted[strings.ToLower(srv.Target.String())] = true
		}
	}
	slices.SortStableFunc(a.records, func(x, y dnsmessage.SRVResource) int {
		if x.Priority != y.Priority {
			return int(x.Priority) - int(y.Priority)
		}
		return int(y.Weight) - int(x.Weight)
	})
	for i := range m.Additionals {
		target := strings.ToLower(m.Additionals[i].Header.Name.String())
		if ip, ok := addressIn(&m.Additionals[i]); ok && wanted[target] {
			a.addresses[target] = append(a.addresses[target], ip)
			a.ttl = min(a.ttl, m.holds(&m.Additionals[i]))
		}
	}
	return a
}

// addTargets looks up the targets whose addresses did not come along. One whose lookup fails keeps
// the addresses that it had; the error is that of a round in which nothing at all was found.
func (s *SRV) addTargets(ctx context.Context, q *inquiry, a *srvAnswer) error {
	var missing []string
	for _, r := range a.records {
		target := strings.ToLower(r.Target.String())
		if _, here := a.addresses[target]; !here && target != "." {
			a.addresses[target] = nil
			missing = append(missing, target)
		}
	}
	found := make([]family, len(missing))
	var running sync.WaitGroup
	slots := make(chan struct{}, targetLookups)
	for i, target := range missing {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			found[i] = q.target(ctx, target)
		})
	}
	running.Wait()

	var failure error
	for i, target := range missing {
		f := found[i]
		if f.err != nil {
			failure = f.err
			f.ttl, f.addresses = 0, s.known[target]
			s.skipped.add(fmt.Sprintf("cannot resolve %q, a target of %q: %s", target, s.text, dnsCause(f.err)))
		}
		a.addresses[target], a.ttl = f.addresses, min(a.ttl, f.ttl)
	}
	for _, addresses := range a.addresses {
		if len(addresses) > 0 {
			s.known = a.addresses
			return nil
		}
	}
	return failure
}

// target asks for both families of a target. One that fails makes the whole fail: half of the addresses could
// otherwise vanish with a lost packet. It is no error if the servers say that there is no address.
func (q *inquiry) target(ctx context.Context, full string) family {
	whole := family{ttl: maxTTL}
	for _, f := range q.addresses(ctx, full) {
		switch {
		case f.err == nil:
			whole.addresses, whole.ttl = append(whole.addresses, f.addresses...), min(whole.ttl, f.ttl)
		case !errors.Is(f.err, errNoRecord):
			return family{err: f.err}
		}
	}
	if len(whole.addresses) == 0 {
		whole.ttl = 0 // it may come at any time, and the pace decides when to ask
	}
	return whole
}

// members returns a member for each address and port; if several records lead there, the first, most
// preferred one counts.
func (s *SRV) members(a *srvAnswer) []pool.Member {
	var members []pool.Member
	seen := make(map[string]bool)
	for _, r := range a.records {
		target := strings.ToLower(r.Target.String())
		for _, ip := range a.addresses[target] {
			address, problem := addressOf(ip.String(), int(r.Port))
			if problem != "" {
				s.skipped.add(fmt.Sprintf("target %q of %q is skipped: %s", target, s.text, problem))
				continue
			}
			if seen[address] {
				continue
			}
			seen[address] = true
			members = append(members, pool.Member{
				Address: address,
				// Weight 0 is "a very small chance" (RFC 2782), and not none.
				Weight: max(int(r.Weight), 1),
				Backup: r.Priority != a.records[0].Priority,
			})
		}
	}
	s.skipped.end()
	return members
}
