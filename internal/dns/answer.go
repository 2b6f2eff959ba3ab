package dns

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// MaxTTL bounds how long an answer is used, so that no record fixes a pool for a day.
const MaxTTL = time.Hour

// ErrNoRecord means that a server answered that the name does not exist or has no such record.
var ErrNoRecord = errors.New("no such record")

// codeError is the error code of a server's answer.
type codeError struct{ says string }

func (e *codeError) Error() string { return "the resolver returned " + e.says }

// verdict reports whether a message has records of the requested kind: nil, ErrNoRecord or a *codeError.
func verdict(m *dnsmessage.Message, kind dnsmessage.Type) error {
	switch m.RCode {
	case dnsmessage.RCodeSuccess:
		for i := range m.Answers {
			if m.Answers[i].Header.Type == kind {
				return nil
			}
		}
		if !m.Authoritative && !m.RecursionAvailable && len(m.Answers) == 0 {
			return &codeError{"a referral: the resolver does not know the name and does not ask other servers"}
		}
		return ErrNoRecord
	case dnsmessage.RCodeNameError:
		return ErrNoRecord
	}
	return &codeError{strings.TrimPrefix(m.RCode.String(), "RCode")}
}

// answer is a message with the server that gave it.
type answer struct {
	*dnsmessage.Message
	server string // "host:port"
}

// ttl returns how long the answer may be used: the shortest time to live of its records, including aliases (CNAME)
// that led to the others.
func (a *answer) ttl() time.Duration {
	least := MaxTTL
	for i := range a.Answers {
		least = min(least, a.holds(&a.Answers[i]))
	}
	return least
}

// holds returns how long a record may be used, from 0 to MaxTTL. By RFC 2181, section 8, a time to live with the top
// bit set counts as 0.
func (a *answer) holds(r *dnsmessage.Resource) time.Duration {
	if r.Header.TTL > 1<<31-1 || isDocker(a.server) {
		return 0
	}
	return min(time.Duration(r.Header.TTL)*time.Second, MaxTTL)
}

// isDocker reports whether a server is the one that Docker puts into each container, always at this address. Its
// times to live count as 0: it gives a container 600 seconds, but drops it as soon as it stops.
func isDocker(server string) bool {
	at, err := netip.ParseAddrPort(server)
	return err == nil && at.Addr().Unmap() == netip.AddrFrom4([4]byte{127, 0, 0, 11})
}

// addressIn returns the address in a record, if it is an address record.
func addressIn(r *dnsmessage.Resource) (netip.Addr, bool) {
	switch body := r.Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(body.A), true
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(body.AAAA).Unmap(), true
	}
	return netip.Addr{}, false
}
