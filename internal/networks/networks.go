// Package networks reads long lists of networks, and finds out whether an address is in one of them.
package networks

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// MaxSize bounds the file of one list, in bytes: the networks with a comment each.
const MaxSize = 64 << 20

// maxNetworks bounds the networks of one list.
const maxNetworks = 1 << 20

// maxShown bounds what an error shows of a line, in bytes.
const maxShown = 40

// Set is a set of addresses. It does not change. The zero value is empty.
type Set struct {
	ipv4 []span[uint32]
	ipv6 []span[wide]
	size int
}

// span is the addresses from first to last. Those of a set are in their order, and do not overlap.
type span[A any] struct{ first, last A }

// wide is an IPv6 address.
type wide struct{ high, low uint64 }

func (a wide) compare(b wide) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

// Parse reads a list: a network or an address a line; what follows a # or a semicolon is a comment.
func Parse(text []byte) (*Set, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("it is larger than %d MiB", MaxSize>>20)
	}
	s := &Set{}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if i := strings.IndexAny(line, "#;"); i >= 0 {
			line = line[:i]
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		p, reason := parse(line)
		if reason != "" {
			return nil, fmt.Errorf("line %d is not a network: %q %s", number, line[:min(len(line), maxShown)], reason)
		}
		if s.size++; s.size > maxNetworks {
			return nil, fmt.Errorf("it has more than %d networks", maxNetworks)
		}
		s.add(p)
	}
	s.ipv4 = merge(s.ipv4, cmp.Compare[uint32])
	s.ipv6 = merge(s.ipv6, wide.compare)
	return s, nil
}

// parse reads a network or an address. An IPv4 network written as IPv6 is the IPv4 one. If it is neither, reason says why.
func parse(s string) (p netip.Prefix, reason string) {
	p, err := netip.ParsePrefix(s)
	if a, err2 := netip.ParseAddr(s); err2 == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil:
		return p, "is not an address, nor an address and a number of bits"
	case p != p.Masked():
		return p, fmt.Sprintf("has host bits after the first %d", p.Bits())
	case p.Addr().Is4In6() && p.Bits() >= 96:
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, ""
}

func (s *Set) add(p netip.Prefix) {
	if p.Addr().Is4() {
		first := address4(p.Addr())
		s.ipv4 = append(s.ipv4, span[uint32]{first, first | uint32(1<<(32-p.Bits())-1)})
		return
	}
	first, bits := address16(p.Addr()), p.Bits()
	last := first
	if bits < 64 {
		last.high |= 1<<(64-bits) - 1
		bits = 64
	}
	last.low |= 1<<(128-bits) - 1
	s.ipv6 = append(s.ipv6, span[wide]{first, last})
}

func address4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address16(a netip.Addr) wide {
	b := a.As16()
	return wide{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// merge sorts spans and merges those that overlap.
func merge[A any](list []span[A], compare func(a, b A) int) []span[A] {
	slices.SortFunc(list, func(a, b span[A]) int { return compare(a.first, b.first) })
	merged := list[:0]
	for _, s := range list {
		if n := len(merged); n > 0 && compare(s.first, merged[n-1].last) <= 0 {
			if compare(s.last, merged[n-1].last) > 0 {
				merged[n-1].last = s.last
			}
			continue
		}
		merged = append(merged, s)
	}
	return slices.Clip(merged)
}

// Contains reports whether an address is in the set. An IPv4 address written as IPv6 is the IPv4 one. It takes a time that grows with the
// logarithm of the number of networks, and allocates nothing.
func (s *Set) Contains(a netip.Addr) bool {
	a = a.Unmap()
	switch {
	case a.Is4():
		return contains(s.ipv4, address4(a), cmp.Compare[uint32])
	case a.Is6():
		return contains(s.ipv6, address16(a), wide.compare)
	}
	return false
}

func contains[A any](list []span[A], a A, compare func(a, b A) int) bool {
	low, high := 0, len(list)
	for low < high {
		middle := int(uint(low+high) / 2)
		if compare(list[middle].last, a) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low < len(list) && compare(list[low].first, a) <= 0
}

// Len returns the number of networks in the list.
func (s *Set) Len() int { return s.size }
