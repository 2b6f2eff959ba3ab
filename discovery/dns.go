package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"lb/pool"
)

// lookupTimeout bounds one lookup, its retries included.
const lookupTimeout = 5 * time.Second

// DNSOptions say which name is resolved, and how.
type DNSOptions struct {
	Name string // its A and AAAA records are the members, or those of its SRV records' targets
	Port int    // of every member; SRV records bring their own

	// Interval is the time from one lookup to the next, and the least there is
	// between two, failed or not. For A and AAAA records it rules, not their
	// TTL; see docs/adr/0006. 0: 5s.
	Interval time.Duration

	// Resolver is a DNS server, "host:port", asked by UDP and then TCP. The
	// name is then taken as complete: no search domain is added. Empty: the system's.
	Resolver string

	Log    hclog.Logger   // nil: no log
	Random func() float64 // from 0 up to but not 1, for the back-off; nil: math/rand/v2

	// Lookup replaces the resolver in tests; network is "ip4" or "ip6". nil: DNS.
	Lookup func(ctx context.Context, network, name string) ([]netip.Addr, error)
}

// DNS is the discoverer of a name's addresses.
type DNS struct {
	options DNSOptions
	trouble condition
	skipped complaints
	pace    pace
	known   [2][]netip.Addr // IPv4, IPv6: the last known answers
}

// NewDNS makes a DNS discoverer. It asks nothing before Run.
func NewDNS(o DNSOptions) *DNS {
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.Lookup == nil {
		o.Lookup = newResolver(o.Resolver).LookupNetIP
		if o.Resolver != "" && !strings.HasSuffix(o.Name, ".") {
			o.Name += "."
		}
	}
	log := orNull(o.Log)
	return &DNS{
		options: o, trouble: condition{log: log}, skipped: complaints{log: log},
		pace: pace{interval: o.Interval, random: o.Random},
	}
}

// newResolver returns a resolver without the C library, whose calls cannot be cancelled. Its own
// exchanges do not look at their context while they wait, so the context closes their connection.
func newResolver(server string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if server != "" {
			address = server
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		return conn, nil
	}}
}

// Run resolves the name at once and then at each interval; see Discoverer.
func (d *DNS) Run(ctx context.Context, update func([]pool.Member)) {
	p := publisher{update: update, log: d.trouble.log}
	for {
		start := time.Now()
		d.resolve(ctx, &p)
		if !sleepUntil(ctx, start.Add(d.pace.delay())) {
			return
		}
	}
}

// resolve does one lookup of both address families. A family whose lookup fails keeps its last known
// addresses, and both do if there is no address at all: an empty answer is more often a
// broken server than the wish to have no backends.
func (d *DNS) resolve(ctx context.Context, p *publisher) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	answers, errs := d.lookup(ctx)
	if ctx.Err() == context.Canceled {
		return // says nothing of the server
	}

	empty := true
	for i := range answers {
		if errs[i] == nil && len(answers[i]) > 0 {
			empty = false
		}
	}
	if empty {
		d.pace.failed++
		d.report(worse(errs[0], errs[1]), len(p.last))
		return
	}
	d.pace.failed = 0
	for i := range answers {
		if errs[i] == nil || isNotFound(errs[i]) {
			d.known[i] = answers[i]
		}
	}
	if p.set(d.members()) {
		d.trouble.log.Debug("name resolved", "name", d.options.Name, "addresses", len(p.last))
	}
	d.trouble.end("name resolves again", "name", d.options.Name, "addresses", len(p.last))
}

// lookup asks for both families at once.
func (d *DNS) lookup(ctx context.Context) (answers [2][]netip.Addr, errs [2]error) {
	ipv6 := make(chan struct{})
	go func() {
		defer close(ipv6)
		answers[1], errs[1] = d.options.Lookup(ctx, "ip6", d.options.Name)
	}()
	answers[0], errs[0] = d.options.Lookup(ctx, "ip4", d.options.Name)
	<-ipv6
	return answers, errs
}

// members returns the known addresses, each once.
func (d *DNS) members() []pool.Member {
	var members []pool.Member
	seen := make(map[netip.Addr]bool)
	port := strconv.Itoa(d.options.Port)
	for _, family := range d.known {
		for _, address := range family {
			address = address.Unmap()
			if seen[address] {
				continue
			}
			seen[address] = true
			if problem := checkIP(address); problem != "" {
				d.skipped.add(fmt.Sprintf("an address of %q is skipped: %s", d.options.Name, problem))
				continue
			}
			members = append(members, pool.Member{Address: net.JoinHostPort(address.String(), port)})
		}
	}
	d.skipped.end()
	return members
}

// report logs a failed lookup, once for as long as its cause stays the same.
func (d *DNS) report(err error, kept int) {
	server := d.options.Resolver
	if server == "" {
		server = "of the system"
	}
	message := fmt.Sprintf("cannot resolve %s: %s; ", strings.TrimSuffix(d.options.Name, "."), dnsCause(err))
	if kept > 0 {
		message += "keeping the last known addresses"
	} else {
		message += "trying again until it resolves"
	}
	d.trouble.begin(message, "resolver", server, "kept", kept)
}

// worse picks the error that tells more: that of a server which failed rather than of an absent name.
func worse(a, b error) error {
	if a == nil || isNotFound(a) && b != nil {
		return b
	}
	return a
}

func isNotFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// dnsCause words an error without the ports and addresses in it, which differ each time.
func dnsCause(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case err == nil:
		return "no address in the answer"
	case isNotFound(err):
		return "no such host"
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return "no answer from the resolver"
	case errors.As(err, &dns) && strings.HasSuffix(dns.Err, "connection refused"), errors.Is(err, syscall.ECONNREFUSED):
		return "the resolver refuses connections"
	case errors.As(err, &op):
		return op.Err.Error()
	case dns != nil:
		return dns.Err
	}
	return err.Error()
}
