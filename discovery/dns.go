package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/internal/dns"
	"lb/pool"
)

// DNSOptions say which name is resolved, and how.
type DNSOptions struct {
	Name string // its A and AAAA records are the members, or those of its SRV records' targets
	Port int    // of every member, from 1 to 65535; not used for SRV records, which bring their own

	// Interval is the least time from one lookup to the next, failed or not. An answer with a longer time to live
	// (RFC 1035) is looked up again when the first of its records expires, after an hour at most. Docker's name
	// server is an exception: see docs/adr/0006. 0: limits.DNSInterval.
	Interval time.Duration

	// Resolver is a DNS server, "host:port", used by UDP and then TCP. Names are complete then: no search domain is
	// added. Empty: the system's.
	Resolver string

	Log    hclog.Logger   // nil: no log
	Random func() float64 // from 0 up to but not 1, for the back-off; nil: math/rand/v2
}

// DNS is the discoverer of a name's addresses.
type DNS struct {
	dnsName
	port  string
	known [2][]netip.Addr // IPv4, IPv6: the last known answers
}

// NewDNS returns a discoverer of A and AAAA records. It queries nothing before Run.
func NewDNS(o DNSOptions) *DNS {
	return &DNS{dnsName: newDNSName(o, ""), port: strconv.Itoa(o.Port)}
}

// Run resolves the name at once and then repeatedly; see Discoverer.
func (d *DNS) Run(ctx context.Context, update func([]pool.Member)) { d.follow(ctx, update, d.round) }

// round does one lookup of both address families and returns the time to live of its answers. A family whose lookup
// fails keeps its last known addresses. No address at all is an error: an empty answer is more often a broken server
// than a pool without backends.
func (d *DNS) round(ctx context.Context) (members []pool.Member, ttl time.Duration, err error) {
	found, err := d.resolver.Lookup(ctx, d.text)
	if errors.Is(err, dns.ErrNoRecord) {
		err = errors.New("no such host")
	}
	if err != nil {
		return nil, 0, err
	}
	known, ttl := d.known, dns.MaxTTL
	for i, f := range found {
		switch {
		case f.Err == nil:
			known[i], ttl = f.IPs, min(ttl, f.TTL)
		case errors.Is(f.Err, dns.ErrNoRecord): // says nothing about the time to live of the other family
			known[i] = nil
		default:
			ttl = 0
		}
	}
	members = d.members(known)
	if len(members) == 0 {
		return nil, 0, errors.New("no address in the response can be a backend's")
	}
	d.known = known
	return members, ttl, nil
}

// members returns the addresses as members, each once.
func (d *DNS) members(known [2][]netip.Addr) []pool.Member {
	var members []pool.Member
	seen := make(map[netip.Addr]bool)
	for _, family := range known {
		for _, address := range family {
			address = address.Unmap()
			if seen[address] {
				continue
			}
			seen[address] = true
			if problem := checkIP(address); problem != "" {
				d.skipped.add(fmt.Sprintf("an address of %q is skipped: %s", d.text, problem))
				continue
			}
			members = append(members, pool.Member{Address: net.JoinHostPort(address.String(), d.port)})
		}
	}
	d.skipped.end()
	return members
}
