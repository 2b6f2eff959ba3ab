// Package balancer has the algorithms that choose among the usable backends of a pool.
//
// A picker is made from a fixed set of backends and replaced when the set, a weight or a state changes. It picks and
// reserves in one step, so that concurrent requests see each other's choices and max_conns is never exceeded. It
// takes no lock, allocates nothing and tries each backend a bounded number of times; without room anywhere it returns
// nil at once.
package balancer

import "lb/pool"

// source returns 64 random bits. In production it is rand.Uint64, whose state is per thread, so that concurrent picks
// do not contend for it.
type source func() uint64

// below returns a number from 0 to n-1, made from the upper half of the random bits. Its bias, n in 2³², is too small
// to measure.
func below(random uint64, n int) int {
	return int((random >> 32) * uint64(n) >> 32)
}

// scan reserves the first backend with room, beginning at start. Pickers that look at a few backends fall back on it.
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

// weightsOf returns the weights in force. During a slow start all are in tenths, so that a part of 1 is a whole
// number.
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

// tenthsOf returns how many tenths of its weight each backend counts with, and the largest of them; nil if they are
// all equal, so that the weights alone decide.
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
