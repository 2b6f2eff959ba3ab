package gcra

import (
	"hash/maphash"
	"net/netip"
)

// The kinds of the keys of addresses.
const (
	kindIPv4 byte = 254
	kindIPv6 byte = 255
)

// Identity appends what distinguishes a client's address to b, and returns it with its kind, for Key. IPv6 addresses are distinguished by
// their first 64 bits: a client can choose all others. All addresses that are not valid are the same.
func Identity(client netip.Addr, b []byte) (kind byte, identity []byte) {
	if client.Unmap().Is4() {
		address := client.Unmap().As4()
		return kindIPv4, append(b, address[:]...)
	}
	address := client.As16()
	return kindIPv6, append(b, address[:8]...)
}

// AddressKey returns the key of a client's address; see Identity.
func AddressKey(seed maphash.Seed, client netip.Addr) uint64 {
	var room [8]byte
	kind, identity := Identity(client, room[:0])
	return Key(seed, kind, identity)
}
