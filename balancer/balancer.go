// Package balancer has the algorithms that choose among the usable backends of a pool.
//
// A picker is made from a fixed set of backends and replaced when the set, a weight or a state changes.
// It reserves what it picks in the same step, so that requests which come at the same moment see each
// other's choices, and max_conns is never exceeded. It takes no lock, allocates nothing, and asks each
// backend a bounded number of times: with no room anywhere it returns nil at once.
package balancer

import "lb/pool"

// source returns 64 random bits. In production it is rand.Uint64, whose state belongs to the
// thread, so that picks do not meet on it.
type source func() uint64

// below returns a number from 0 to n-1 made of the upper half of the random bits. The bias, n in 2³², is
// far below what anybody could measure here.
func below(random uint64, n int) int {
	return int((random >> 32) * uint64(n) >> 32)
}

// scan reserves the first with room from a starting point on: the last resort of
// the pickers that look at a few backends only.
func scan(backends []*pool.Backend, start int) *pool.Backend {
	for i := range backends {
		at := start + i
		if at >= len(backends) {
			at -= len(backends)
		}
		if b := backends[at]; b.Reserve() {
			return b
		}
	}
	return nil
}

// weightsOf returns the weights as they count at this moment. During a slow start all are in tenths, so that a
// part of 1 is a whole number.
func weightsOf(backends []*pool.Backend) []int {
	weights := make([]int, len(backends))
	tenths, _ := tenthsOf(backends)
	for i, b := range backends {
		weights[i] = b.Weight()
		if tenths != nil {
			weights[i] *= tenths[i]
		}
	}
	return weights
}

// tenthsOf returns how much of its weight counts of each backend, and the most of these; nil if it is
// the same of all: then their weights alone decide.
func tenthsOf(backends []*pool.Backend) (tenths []int, most int) {
	tenths = make([]int, len(backends))
	differ := false
	for i, b := range backends {
		tenths[i] = b.Tenths()
		differ = differ || tenths[i] != tenths[0]
		most = max(most, tenths[i])
	}
	if !differ {
		return nil, most
	}
	return tenths, most
}
