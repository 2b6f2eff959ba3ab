package filter

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxBans    = 10_000
	longestBan = 366 * 24 * time.Hour
	// The widest networks that can be banned, in bits: a wider one is hardly meant.
	leastBitsIPv4 = 8
	leastBitsIPv6 = 16
)

// Ban refuses all requests of the addresses in a network for some time.
type Ban struct {
	Network netip.Prefix
	Until   time.Time
	Reason  string // for the administrator; may be empty
}

// Bans are the bans in force. The zero value has none, and then costs a request one read of memory.
type Bans struct {
	mu      sync.Mutex
	list    map[netip.Prefix]Ban
	current atomic.Pointer[banned] // nil: none
}

// banned is for lookups. It does not change.
type banned struct {
	until map[netip.Prefix]int64 // in Unix nanoseconds
	bits  []int                  // the lengths that the networks have, IPv6's above 128
}

// Banned is the refusal of a client that is banned.
var Banned = &Refusal{Status: http.StatusForbidden, Reason: "this address is banned", Rejected: "ban", Close: true}

// Has reports whether an address is banned. It takes no lock and allocates nothing.
func (b *Bans) Has(client netip.Addr) bool {
	set := b.current.Load()
	return set != nil && client.IsValid() && set.has(client.Unmap().WithZone(""), time.Now().UnixNano())
}

func (s *banned) has(client netip.Addr, now int64) bool {
	for _, bits := range s.bits {
		if client.Is4() != (bits <= 32) {
			continue
		}
		if client.Is6() {
			bits -= 128
		}
		if p, err := client.Prefix(bits); err == nil && s.until[p] > now {
			return true
		}
	}
	return false
}

// Set adds a ban, or replaces the one of the same network.
func (b *Bans) Set(ban Ban, now time.Time) error {
	p := canonical(ban.Network)
	switch d := ban.Until.Sub(now); {
	case !p.IsValid():
		return errors.New("the network is not valid")
	case p.Addr().Is4() && p.Bits() < leastBitsIPv4, p.Addr().Is6() && p.Bits() < leastBitsIPv6:
		return fmt.Errorf("%s is too wide: at least /%d, or /%d of IPv6", p, leastBitsIPv4, leastBitsIPv6)
	case d <= 0 || d > longestBan:
		return fmt.Errorf("a ban lasts more than 0s and at most %v", longestBan)
	}
	ban.Network = p
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	if _, known := b.list[p]; !known && len(b.list) == maxBans {
		return fmt.Errorf("there are %d bans already", maxBans)
	}
	if b.list == nil {
		b.list = map[netip.Prefix]Ban{}
	}
	b.list[p] = ban
	b.publish()
	return nil
}

// canonical returns a network without host bits. An IPv4 network written as IPv6 is the IPv4 one.
func canonical(p netip.Prefix) netip.Prefix {
	p = p.Masked()
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// Lift ends the ban of a network, and reports whether there was one.
func (b *Bans) Lift(network netip.Prefix, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	network = canonical(network)
	_, known := b.list[network]
	delete(b.list, network)
	b.publish()
	return known
}

// List returns the bans in force, those that end first before others.
func (b *Bans) List(now time.Time) []Ban {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expire(now)
	b.publish()
	list := make([]Ban, 0, len(b.list))
	for _, ban := range b.list {
		list = append(list, ban)
	}
	slices.SortFunc(list, func(a, c Ban) int {
		if d := a.Until.Compare(c.Until); d != 0 {
			return d
		}
		return a.Network.Compare(c.Network)
	})
	return list
}

func (b *Bans) expire(now time.Time) {
	for p, ban := range b.list {
		if !ban.Until.After(now) {
			delete(b.list, p)
		}
	}
}

func (b *Bans) publish() {
	if len(b.list) == 0 {
		b.current.Store(nil)
		return
	}
	set := &banned{until: make(map[netip.Prefix]int64, len(b.list))}
	for p, ban := range b.list {
		set.until[p] = ban.Until.UnixNano()
		bits := p.Bits()
		if p.Addr().Is6() {
			bits += 128
		}
		if !slices.Contains(set.bits, bits) {
			set.bits = append(set.bits, bits)
		}
	}
	b.current.Store(set)
}
