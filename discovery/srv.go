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

const (
	// maxTTL bounds how long an answer is believed: no record keeps a pool as it is for a day.
	maxTTL = time.Hour
	// targetLookups is how many targets are looked up at a time.
	targetLookups = 8
)

// SRV is the discoverer of a name's SRV records (RFC 2782). Each address of a record's target is a member,
// with the record's port and weight. Those of the lowest priority number are the primary ones, the others
// are backups.
type SRV struct {
	name    string
	server  string // "host:port"; empty: the system's
	conf    func() resolvConf
	trouble condition
	skipped complaints
	pace    pace
	known   map[string][]netip.Addr // of each target, the last known addresses
}

// NewSRV makes a discoverer of SRV records. It asks nothing before Run. The options' Port and Lookup are not
// used. An answer that holds longer than the interval is asked for again only when it ends.
func NewSRV(o DNSOptions) *SRV {
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	conf := func() resolvConf { return readResolvConf("/etc/resolv.conf") }
	if o.Resolver != "" { // the name is then complete
		conf = func() resolvConf { return resolvConf{servers: []string{o.Resolver}} }
	}
	log := orNull(o.Log)
	return &SRV{
		name: o.Name, server: o.Resolver, conf: conf,
		trouble: condition{log: log}, skipped: complaints{log: log},
		pace: pace{interval: o.Interval, random: o.Random},
	}
}

// Run asks at once and then again and again; see Discoverer.
func (s *SRV) Run(ctx context.Context, update func([]pool.Member)) {
	p := publisher{update: update, log: s.trouble.log}
	for {
		start := time.Now()
		ttl := s.resolve(ctx, &p)
		if !sleepUntil(ctx, start.Add(max(s.pace.delay(), ttl))) {
			return
		}
	}
}

// resolve does one round and returns how long its answer holds, 0 if it failed. Whatever fails, and an
// answer without any address, leaves the last known set in force.
func (s *SRV) resolve(ctx context.Context, p *publisher) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	servers, message, err := s.lookup(ctx)
	var a srvAnswer
	if err == nil {
		a = readSRV(message)
		err = s.addTargets(ctx, servers, &a)
	}
	if ctx.Err() == context.Canceled {
		return 0 // says nothing of the server
	}
	var members []pool.Member
	if err == nil {
		if members = s.members(&a); len(members) == 0 {
			err = errors.New("no target has an address")
		}
	}
	if err != nil {
		s.pace.failed++
		s.report(err, len(p.last))
		return 0
	}
	s.pace.failed = 0
	if p.set(members) {
		s.trouble.log.Debug("name resolved", "name", s.name, "addresses", len(p.last))
	}
	s.trouble.end("name resolves again", "name", s.name, "addresses", len(p.last))
	return a.ttl
}

// lookup asks for the records, with the system's search domains if it is asked. It returns the servers to
// ask for the rest too.
func (s *SRV) lookup(ctx context.Context) (servers []string, m *dnsmessage.Message, err error) {
	conf := s.conf()
	for _, name := range conf.names(s.name) {
		if m, err = lookupDNS(ctx, conf.servers, name, dnsmessage.TypeSRV); !errors.Is(err, errNoRecord) {
			break
		}
	}
	return conf.servers, m, err
}

// srvAnswer is an answer to a query for SRV records.
type srvAnswer struct {
	records   []dnsmessage.SRVResource // the most preferred first
	addresses map[string][]netip.Addr  // of each target, in lower case
	ttl       time.Duration            // of what holds for the shortest time
}

// readSRV takes the records out of an answer, with the addresses that came along.
func readSRV(m *dnsmessage.Message) srvAnswer {
	a := srvAnswer{addresses: make(map[string][]netip.Addr), ttl: maxTTL}
	wanted := make(map[string]bool)
	for i := range m.Answers {
		if srv, ok := m.Answers[i].Body.(*dnsmessage.SRVResource); ok {
			a.records = append(a.records, *srv)
			a.holds(m.Answers[i].Header.TTL)
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
		header := &m.Additionals[i].Header
		target := strings.ToLower(header.Name.String())
		if ip, ok := addressIn(&m.Additionals[i]); ok && wanted[target] {
			a.addresses[target] = append(a.addresses[target], ip)
			a.holds(header.TTL)
		}
	}
	return a
}

// holds notes the time to live of a record, in seconds. RFC 2181, section 8: one with the top bit
// set counts as 0.
func (a *srvAnswer) holds(ttl uint32) {
	if ttl > 1<<31-1 {
		ttl = 0
	}
	a.ttl = min(a.ttl, time.Duration(ttl)*time.Second)
}

func addressIn(r *dnsmessage.Resource) (netip.Addr, bool) {
	switch body := r.Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(body.A), true
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(body.AAAA).Unmap(), true
	}
	return netip.Addr{}, false
}

// addTargets looks up the targets whose addresses did not come along. One whose lookup fails keeps
// the addresses that it had; the error is that of a round in which nothing at all was found.
func (s *SRV) addTargets(ctx context.Context, servers []string, a *srvAnswer) error {
	var missing []string
	for _, r := range a.records {
		target := strings.ToLower(r.Target.String())
		if _, here := a.addresses[target]; !here && target != "." {
			a.addresses[target] = nil
			missing = append(missing, target)
		}
	}
	found := make([]targetAnswer, len(missing))
	var running sync.WaitGroup
	slots := make(chan struct{}, targetLookups)
	for i, target := range missing {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			found[i] = lookupTarget(ctx, servers, target)
		})
	}
	running.Wait()

	var failure error
	for i, target := range missing {
		f := found[i]
		if f.err != nil {
			failure = f.err
			f.ttl, f.addresses = 0, s.known[target]
			s.skipped.add(fmt.Sprintf("cannot resolve %q, a target of %q: %s", target, s.name, dnsCause(f.err)))
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

// targetAnswer is what is known of one target.
type targetAnswer struct {
	addresses []netip.Addr
	ttl       time.Duration
	err       error // nil as well where the servers say that there is no address
}

// lookupTarget asks for both families. One that fails makes the whole fail: half of the addresses could
// otherwise vanish with a lost packet.
func lookupTarget(ctx context.Context, servers []string, target string) targetAnswer {
	a := srvAnswer{ttl: maxTTL}
	var addresses []netip.Addr
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		m, err := lookupDNS(ctx, servers, target, kind)
		if errors.Is(err, errNoRecord) {
			continue
		}
		if err != nil {
			return targetAnswer{err: err}
		}
		for i := range m.Answers {
			if ip, ok := addressIn(&m.Answers[i]); ok {
				addresses = append(addresses, ip)
				a.holds(m.Answers[i].Header.TTL)
			}
		}
	}
	return targetAnswer{addresses: addresses, ttl: a.ttl}
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
				s.skipped.add(fmt.Sprintf("target %q of %q is skipped: %s", target, s.name, problem))
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

// report logs a failed round, once for as long as its cause stays the same.
func (s *SRV) report(err error, kept int) {
	server := s.server
	if server == "" {
		server = "of the system"
	}
	message := fmt.Sprintf("cannot resolve the SRV records of %s: %s; ", strings.TrimSuffix(s.name, "."), dnsCause(err))
	if kept > 0 {
		message += "keeping the last known addresses"
	} else {
		message += "trying again until it resolves"
	}
	s.trouble.begin(message, "resolver", server, "kept", kept)
}
