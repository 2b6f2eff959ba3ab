package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"lb/internal/dns"
	"lb/pool"
)

// SRV is the discoverer of a name's SRV records (RFC 2782). Each address of a record's target is a member, with the
// record's port and weight. Those with the lowest priority number are primaries, the others are backups.
type SRV struct {
	dnsName
	known map[string][]netip.Addr // of each target, the last known addresses
}

// NewSRV returns a discoverer of SRV records. It queries nothing before Run.
func NewSRV(o DNSOptions) *SRV { return &SRV{dnsName: newDNSName(o, "the SRV records of ")} }

// Run queries at once and then repeatedly; see Discoverer.
func (s *SRV) Run(ctx context.Context, update func([]pool.Member)) { s.follow(ctx, update, s.round) }

// round does one lookup and returns its time to live. A lookup without any address is an error.
func (s *SRV) round(ctx context.Context) (members []pool.Member, ttl time.Duration, err error) {
	found, err := s.resolver.LookupSRV(ctx, s.text)
	if err != nil {
		return nil, 0, err
	}
	addresses, err := s.addresses(&found)
	if err != nil {
		return nil, 0, err
	}
	if members = s.members(&found, addresses); len(members) == 0 {
		return nil, 0, errors.New("no target has an address")
	}
	return members, found.TTL, nil
}

// addresses returns the addresses of each target. A target whose lookup failed keeps those that it had; the error is
// that of a round that found nothing at all.
func (s *SRV) addresses(found *dns.Services) (map[string][]netip.Addr, error) {
	addresses := make(map[string][]netip.Addr)
	var failure error
	any := false
	for i := range found.Records {
		target, f := found.Target(&found.Records[i])
		if _, seen := addresses[target]; seen {
			continue
		}
		if f.Err != nil {
			failure = f.Err
			f.IPs = s.known[target]
			s.skipped.add(fmt.Sprintf("cannot resolve %q, a target of %q: %s", target, s.text, dnsCause(f.Err)))
		}
		addresses[target] = f.IPs
		any = any || len(f.IPs) > 0
	}
	if !any {
		return nil, failure
	}
	s.known = addresses
	return addresses, nil
}

// members returns a member for each address and port; if several records have the same, the first, most preferred one
// counts.
func (s *SRV) members(found *dns.Services, addresses map[string][]netip.Addr) []pool.Member {
	var members []pool.Member
	seen := make(map[string]bool)
	for i := range found.Records {
		r := &found.Records[i]
		target, _ := found.Target(r)
		for _, ip := range addresses[target] {
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
				// Weight 0 is "a very small chance" (RFC 2782), not none.
				Weight: max(int(r.Weight), 1),
				Backup: r.Priority != found.Records[0].Priority,
			})
		}
	}
	s.skipped.end()
	return members
}
