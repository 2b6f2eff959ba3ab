package balancer

import (
	"cmp"
	"math/bits"
	"slices"

	"lb/internal/stablehash"
	"lb/pool"
)

// Sizes of a table. They are prime, so that any step visits all slots. There are only two since nearly all keys of a
// pool that outgrows the smaller one move.
const (
	smallTable = 65_521
	largeTable = 1_048_573
	// Slots that stay empty. With fewer of them, fewer keys move when a backend leaves and others take over its
	// slots; with more, the table is filled faster.
	smallEmpty = smallTable / 16
	largeEmpty = largeTable / 4
	// averageSlots is the least number of slots of a backend of average weight where weights cannot be represented
	// exactly.
	averageSlots = 100
)

// maglev is the lookup table of "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud et al.,
// section 3.4), with one difference: some slots stay empty, and a key that hits one of them continues with another
// hash. This makes the shares exact and the table fast to fill, since the last slots are the ones that take long to
// find.
//
// A slot holds the index of a backend plus one, or 0 if it is empty.
type maglev []uint32

// claimant is a backend while slots are assigned.
type claimant struct {
	index      uint32
	next, step uint32 // the slot it claims next, and the distance to the one after that
	quota      uint32 // slots it gets in all
	credit     uint32 // of a slot, in 1/rounds
}

// newMaglev builds the table. The backends take turns, and each claims the next free slot in a sequence made from the
// hash of its address, so that a backend that leaves or joins moves few slots of the others. The order of the
// backends does not matter.
func newMaglev(backends []*pool.Backend, weights []int) maglev {
	quotas, size := slotQuotas(weights)
	claimants := make([]claimant, len(backends))
	hashes := make([]uint64, len(backends))
	for i, b := range backends {
		hash := stablehash.New().AddString(b.Address()).Sum()
		next, _ := bits.Mul64(hash, uint64(size))
		step, _ := bits.Mul64(stablehash.Mix(hash), uint64(size-1))
		hashes[i] = hash
		claimants[i] = claimant{index: uint32(i), next: uint32(next), step: uint32(step) + 1, quota: quotas[i]}
	}
	slices.SortFunc(claimants, func(a, b claimant) int {
		if c := cmp.Compare(hashes[a.index], hashes[b.index]); c != 0 {
			return c
		}
		return cmp.Compare(backends[a.index].Address(), backends[b.index].Address())
	})
	return fill(claimants, size)
}

// slotQuotas returns how many slots each weight gets, and the size of the table. These are exact multiples of the
// weights if there is room for them, otherwise within one slot of the share, and at least one.
func slotQuotas(weights []int) (quotas []uint32, size uint32) {
	sum, divisor := 0, 0
	for _, w := range weights {
		sum += w
		divisor = gcd(divisor, w)
	}
	size = smallTable
	room := smallTable - smallEmpty
	if sum/divisor > room && len(weights)*averageSlots > room {
		size = largeTable
		room = largeTable - largeEmpty
	}
	quotas = make([]uint32, len(weights))
	for i, w := range weights {
		if times := room / (sum / divisor); times > 0 {
			quotas[i] = uint32(w / divisor * times)
		} else {
			quotas[i] = uint32(max(1, w*room/sum))
		}
	}
	return quotas, size
}

// fill assigns the slots. In each round the average claimant gets one, and the others in proportion to their quotas.
func fill(claimants []claimant, size uint32) maglev {
	left := uint32(0)
	for i := range claimants {
		left += claimants[i].quota
	}
	rounds := (left + uint32(len(claimants)) - 1) / uint32(len(claimants))
	table := make(maglev, size)
	for range rounds {
		for k := range claimants {
			c := &claimants[k]
			for c.credit += c.quota; c.credit >= rounds; c.credit -= rounds {
				at := c.next
				for table[at] != 0 {
					if at += c.step; at >= size {
						at -= size
					}
				}
				table[at] = c.index + 1
				if c.next = at + c.step; c.next >= size {
					c.next -= size
				}
			}
		}
	}
	return table
}

// at returns the index of the backend in a key's slot; false if the slot is empty.
func (m maglev) at(key uint64) (index int, ok bool) {
	slot, _ := bits.Mul64(key, uint64(len(m)))
	i := m[slot]
	return int(i) - 1, i != 0
}

// rehash returns the key to continue with, the same one for the same key.
func rehash(key uint64) uint64 { return stablehash.Mix(key + 0x9e3779b97f4a7c15) }
