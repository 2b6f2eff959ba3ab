// Package balancer has the algorithms that choose among the usable backends of a pool.
//
// A picker is made from a fixed set of backends and replaced when the set, a weight or a state changes.
// It reserves what it picks in the same step, so that requests which come at the same moment see each
// other's choices, and max_conns is never exceeded. It takes no lock, allocates nothing, and asks each
// backend a bounded number of times: with no room anywhere it returns nil at once.
package balancer

import (
	"fmt"
	"slices"
	"strings"

	"lb/pool"
)

// Names returns the names that New knows.
func Names() []string {
	return []string{"round_robin", "least_conn", "p2c", "random", "first"}
}

// New returns the picker of that name over a fixed set of backends, with the weights they have now.
// The seed is where a rotation starts; 0 is the first backend. The error names an algorithm that does not exist.
func New(name string, backends []*pool.Backend, seed uint64) (pool.Picker, error) {
	factory, err := Factory(name)
	if err != nil {
		return nil, err
	}
	return factory(backends, seed), nil
}

// Factory returns what pool.Options.NewPicker wants; the error is that of New.
func Factory(name string) (func([]*pool.Backend, uint64) pool.Picker, error) {
	switch name {
	case "round_robin":
		return newRoundRobin, nil
	case "least_conn":
		return newLeastConn, nil
	case "p2c":
		return newP2C, nil
	case "random":
		return newRandom, nil
	case "first":
		return newFirst, nil
	}
	return nil, fmt.Errorf("cannot balance by %q: not one of %s", name, strings.Join(Names(), ", "))
}

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

// weightsOf returns the weights, and whether all are the same.
func weightsOf(backends []*pool.Backend) (weights []int, equal bool) {
	weights = make([]int, len(backends))
	equal = true
	for i, b := range backends {
		weights[i] = b.Weight()
		equal = equal && weights[i] == weights[0]
	}
	return weights, equal
}

// first is a picker that takes the backends in their order: the next only while those before are full.
type first []*pool.Backend

func newFirst(backends []*pool.Backend, _ uint64) pool.Picker {
	return first(slices.Clone(backends))
}

// Pick implements pool.Picker.
func (f first) Pick(uint64) *pool.Backend { return scan(f, 0) }
