// Package balancer has the algorithms that choose among the usable backends of a pool.
//
// A picker is made from a fixed set of backends and replaced when the set, a weight or a state changes.
// It reserves what it picks in the same step, so that requests which come at the same moment see each
// other's choices, and max_conns is never exceeded. It takes no lock, allocates nothing, and asks each
// backend a bounded number of times: with no room anywhere it returns nil at once.
package balancer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"lb/pool"
)

// Names returns the names that New knows.
func Names() []string {
	return []string{"round_robin", "least_conn", "p2c", "peak_ewma", "random", "hash", "first"}
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
	return FactoryWith(name, rand.Uint64)
}

// FactoryWith is Factory with another source of 64 random bits: a seeded one makes the picks of a simulation
// the same each time. It must bear being called by many requests at once if the picker has to.
func FactoryWith(name string, random func() uint64) (func([]*pool.Backend, uint64) pool.Picker, error) {
	var build func([]*pool.Backend, uint64, source) pool.Picker
	switch name {
	case "round_robin":
		build = newRoundRobin
	case "least_conn":
		build = newLeastConn
	case "p2c":
		build = newP2C
	case "peak_ewma":
		build = newPeakEWMA
	case "random":
		build = newRandom
	case "hash":
		build = newHash
	case "first":
		build = newFirst
	default:
		return nil, fmt.Errorf("cannot balance by %q: not one of %s", name, strings.Join(Names(), ", "))
	}
	return func(backends []*pool.Backend, seed uint64) pool.Picker {
		if len(backends) == 0 {
			return first(nil)
		}
		return build(slices.Clone(backends), seed, random)
	}, nil
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

// first is a picker that takes the backends in their order: the next only while those before are full.
type first []*pool.Backend

func newFirst(backends []*pool.Backend, _ uint64, _ source) pool.Picker { return first(backends) }

// Pick implements pool.Picker.
func (f first) Pick(uint64) *pool.Backend { return scan(f, 0) }

// Prefer implements pool.Predictable.
func (f first) Prefer(uint64) (now, own *pool.Backend) {
	for _, b := range f {
		if _, room := b.Load(); room {
			return b, f[0]
		}
	}
	return nil, f[0]
}
