package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"lb/internal/dns"
	"lb/internal/limits"
	"lb/pool"
)

// dnsName is a name in the DNS that is looked up repeatedly, for records of any type.
type dnsName struct {
	text     string // as it was written
	records  string // which of its records, for the log: "the SRV records of "; empty: its addresses
	server   string // "host:port"; empty: the system's
	resolver *dns.Resolver
	trouble  condition
	skipped  warnings
	pace     pace
}

func newDNSName(o DNSOptions, records string) dnsName {
	if o.Interval <= 0 {
		o.Interval = limits.DNSInterval
	}
	log := orNull(o.Log)
	return dnsName{
		text: o.Name, records: records, server: o.Resolver, resolver: dns.New(o.Resolver),
		trouble: condition{log: log}, skipped: warnings{log: log},
		pace: pace{interval: o.Interval, random: o.Random},
	}
}

// follow runs rounds until ctx ends, the first at once. A round does one lookup and returns the members, at least
// one, and their time to live. The next round begins after that time, but not before the pace allows it. The error of
// a failed round is only logged: the last known set is kept, and the next round begins when the pace allows it.
func (n *dnsName) follow(ctx context.Context, update func([]pool.Member), round func(context.Context) ([]pool.Member, time.Duration, error)) {
	p := publisher{update: update, log: n.trouble.log}
	for {
		start := time.Now()
		ttl := n.resolve(ctx, &p, round)
		ends := time.Now().Add(ttl)
		next := start.Add(n.pace.delay())
		if ends.After(next) {
			next = ends
		}
		if !sleepUntil(ctx, next) {
			return
		}
	}
}

// resolve does one round and returns the time to live of its answer, 0 if it failed.
func (n *dnsName) resolve(ctx context.Context, p *publisher, round func(context.Context) ([]pool.Member, time.Duration, error)) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, dns.LookupTimeout)
	defer cancel()
	members, ttl, err := round(ctx)
	if ctx.Err() == context.Canceled {
		return 0 // says nothing about the server
	}
	if err != nil {
		n.pace.failed++
		n.report(err, len(p.last))
		return 0
	}
	n.pace.failed = 0
	if p.set(members) {
		n.trouble.log.Debug("name resolved", "name", n.text, "addresses", len(p.last), "ttl", ttl)
	}
	n.trouble.end("name resolves again", "name", n.text, "addresses", len(p.last))
	return ttl
}

// report logs a failed round, once as long as its cause stays the same.
func (n *dnsName) report(err error, kept int) {
	server := n.server
	if server == "" {
		server = "of the system"
	}
	message := fmt.Sprintf("cannot resolve %s%s: %s; ", n.records, strings.TrimSuffix(n.text, "."), dnsCause(err))
	if kept > 0 {
		message += "keeping the last known addresses"
	} else {
		message += "trying again until it resolves"
	}
	n.trouble.begin(message, "resolver", server, "kept", kept)
}

// dnsCause describes an error without ports and addresses, which differ each time.
func dnsCause(err error) string {
	var unknown *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no response from the resolver"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the resolver refuses connections"
	case errors.As(err, &unknown):
		return fmt.Sprintf("the resolver's own name, %s, does not resolve", unknown.Name)
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}
