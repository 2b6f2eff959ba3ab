package balancer

import (
	"cmp"
	"math/bits"
	"slices"

	"lb/internal/stablehash"
	"lb/pool"
)

// Table sizes are prime, so that any step goes through all slots. A pool that outgrows the smaller has nearly all
// keys moved; there are but two for that reason. Both give at least a hundred slots to a backend, up to 655 and
// 10,485 of them; beyond that the shares are less even.
const (
	smallTable   = 65_521
	largeTable   = 1_048_573
	slotsAtLeast = 100
	// unsought is the share of the slots, one in 64, that are given out without a search. To find
	// the last free slots by trial would take most of the time.
	unsought = 64
)

// claimant is a backend while slots are given out.
type claimant struct {
	next, step uint32 // the slot it wants, and how far it is to the one it wants after that
	quota      uint32 // slots it is to have
	credit     uint32 // of a slot, in 1/rounds
}

// newMaglev makes the lookup table of "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud et al.,
// section 3.4): the backends take turns, each taking the free slot it likes best by the hash of its
// address. What leaves or joins moves few slots of the others. The table does not depend on the order of the
// backends.
func newMaglev(backends []*pool.Backend, weights []int) []uint32 {
	n, size := len(backends), smallTable
	if n*slotsAtLeast > size {
		size = largeTable
	}
	type member struct {
		hash  uint64
		index int
	}
	order := make([]member, n)
	sum := uint64(0)
	for i, b := range backends {
		order[i] = member{stablehash.New().AddString(b.Address()).Sum(), i}
		sum += uint64(weights[i])
	}
	slices.SortFunc(order, func(a, b member) int {
		if c := cmp.Compare(a.hash, b.hash); c != 0 {
			return c
		}
		return cmp.Compare(backends[a.index].Address(), backends[b.index].Address())
	})
	claimants := make([]claimant, n)
	var before, given uint64
	for k, m := range order {
		before += uint64(weights[m.index])
		upto := uint64(size) * before / sum
		next, _ := bits.Mul64(m.hash, uint64(size))
		step, _ := bits.Mul64(stablehash.Mix(m.hash+0x9e3779b97f4a7c15), uint64(size-1))
		claimants[k] = claimant{next: uint32(next), step: uint32(step) + 1, quota: uint32(upto - given)}
		given = upto
	}
	table := fill(claimants, uint32(size))
	for at, k := range table {
		table[at] = uint32(order[k].index)
	}
	return table
}

// fill gives every slot to a claimant, by its place in the list. In a round the average claimant gets one
// slot, and each in proportion to its quota.
func fill(claimants []claimant, size uint32) []uint32 {
	rounds := (size + uint32(len(claimants)) - 1) / uint32(len(claimants))
	table := make([]uint32, size)
	taken := make([]uint64, (size+63)/64)
	free := size
	var rest []uint32 // the last free slots
	for free > 0 {
		for k := range claimants {
			c := &claimants[k]
			for c.credit += c.quota; c.credit >= rounds; c.credit -= rounds {
				var at uint32
				if free > size/unsought {
					at = c.seek(taken, size)
				} else {
					if rest == nil {
						rest = freeSlots(taken, size)
					}
					at, rest = c.draw(rest, size)
				}
				table[at] = uint32(k)
				free--
			}
		}
	}
	return table
}

// seek takes the first free slot in the claimant's order.
func (c *claimant) seek(taken []uint64, size uint32) uint32 {
	for {
		at := c.next
		if c.next += c.step; c.next >= size {
			c.next -= size
		}
		if word, bit := at/64, uint64(1)<<(at%64); taken[word]&bit == 0 {
			taken[word] |= bit
			return at
		}
	}
}

// draw takes a slot of the rest, at the place that the claimant's order points to.
func (c *claimant) draw(rest []uint32, size uint32) (at uint32, left []uint32) {
	place := uint64(c.next) * uint64(len(rest)) / uint64(size)
	if c.next += c.step; c.next >= size {
		c.next -= size
	}
	at = rest[place]
	last := len(rest) - 1
	rest[place] = rest[last]
	return at, rest[:last]
}

func freeSlots(taken []uint64, size uint32) []uint32 {
	rest := make([]uint32, 0, size/unsought)
	for at := range size {
		if taken[at/64]&(1<<(at%64)) == 0 {
			rest = append(rest, at)
		}
	}
	return rest
}
