package dns

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// targetLookups is how many targets are looked up at a time.
const targetLookups = 8

// Services are the SRV records of a name (RFC 2782).
type Services struct {
	Records []dnsmessage.SRVResource // the most preferred first
	// Targets are the addresses of each target, by its name in lower case with the dot at its end. The target ".",
	// which says that the service is not available, has none.
	Targets map[string]Addresses
	TTL     time.Duration // the shortest of all; 0 if a target could not be resolved
}

// Target returns the name of a record's target, and its addresses.
func (s *Services) Target(r *dnsmessage.SRVResource) (string, Addresses) {
	name := targetOf(r)
	return name, s.Targets[name]
}

func targetOf(r *dnsmessage.SRVResource) string { return strings.ToLower(r.Target.String()) }

// LookupSRV finds the SRV records of a name, and the addresses of their targets: those in the answer, and others by
// further queries. The error is that of the records alone; a target's is in its Addresses.
func (r *Resolver) LookupSRV(ctx context.Context, name string) (Services, error) {
	var records *answer
	q := r.begin()
	err := r.search(ctx, q, name, func(full string) (err error) {
		records, err = q.query(ctx, full, dnsmessage.TypeSRV)
		return err
	})
	if err != nil {
		return Services{}, err
	}
	s := readSRV(records)
	q.addTargets(ctx, &s)
	return s, nil
}

// readSRV extracts the records of an answer, with additional addresses.
func readSRV(m *answer) Services {
	s := Services{Targets: make(map[string]Addresses), TTL: m.ttl()}
	wanted := make(map[string]bool)
	for i := range m.Answers {
		if srv, ok := m.Answers[i].Body.(*dnsmessage.SRVResource); ok {
			s.Records = append(s.Records, *srv)
			wanted[targetOf(srv)] = true
		}
	}
	slices.SortStableFunc(s.Records, func(x, y dnsmessage.SRVResource) int {
		if x.Priority != y.Priority {
			return int(x.Priority) - int(y.Priority)
		}
		return int(y.Weight) - int(x.Weight)
	})
	for i := range m.Additionals {
		target := strings.ToLower(m.Additionals[i].Header.Name.String())
		if ip, ok := addressIn(&m.Additionals[i]); ok && wanted[target] {
			found := s.Targets[target]
			found.IPs = append(found.IPs, ip)
			s.Targets[target] = found
			s.TTL = min(s.TTL, m.holds(&m.Additionals[i]))
		}
	}
	return s
}

// addTargets looks up the targets whose addresses were not in the answer.
func (q *lookup) addTargets(ctx context.Context, s *Services) {
	var missing []string
	for i := range s.Records {
		target := targetOf(&s.Records[i])
		if _, here := s.Targets[target]; !here && target != "." {
			s.Targets[target] = Addresses{}
			missing = append(missing, target)
		}
	}
	found := make([]Addresses, len(missing))
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
	for i, target := range missing {
		s.Targets[target] = found[i]
		s.TTL = min(s.TTL, found[i].TTL)
	}
}

// target queries both families of a target. If one fails, all fails, since half of the addresses could vanish with a
// lost packet otherwise. It is no error if the servers say that there is no address.
func (q *lookup) target(ctx context.Context, full string) Addresses {
	whole := Addresses{TTL: MaxTTL}
	for _, f := range q.addresses(ctx, full) {
		switch {
		case f.Err == nil:
			whole.IPs, whole.TTL = append(whole.IPs, f.IPs...), min(whole.TTL, f.TTL)
		case !errors.Is(f.Err, ErrNoRecord):
			return Addresses{Err: f.Err}
		}
	}
	if len(whole.IPs) == 0 {
		whole.TTL = 0 // an address may appear at any time; the caller's pace decides when to query
	}
	return whole
}
