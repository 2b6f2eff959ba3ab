package balancer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"lb/pool"
)

// Algorithm describes one way to choose among the usable backends of a pool.
type Algorithm struct {
	Name string // as a configuration spells it

	// NeedsKey says that a pick depends on the key of its request, as hash_key makes it. The others ignore the key.
	NeedsKey bool
	// NeedsLatency says that picks go by pool.Backend.Latency, so that requests have to call Await and Settle.
	NeedsLatency bool

	build func(backends []*pool.Backend, seed uint64, random source) pool.Picker
}

// Default is the name of the algorithm of a pool that names none.
const Default = "round_robin"

// Algorithms returns all algorithms. To add one, write its picker in a file of its own and describe it here;
// TestDocs names the pages to mention it on.
func Algorithms() []Algorithm {
	return []Algorithm{
		{Name: "round_robin", build: newRoundRobin},
		{Name: "least_conn", build: newLeastConn},
		{Name: "p2c", build: newP2C},
		{Name: "peak_ewma", NeedsLatency: true, build: newPeakEWMA},
		{Name: "random", build: newRandom},
		{Name: "hash", NeedsKey: true, build: newHash},
		{Name: "first", build: newFirst},
	}
}

// Names returns the names of all algorithms.
func Names() []string {
	var names []string
	for _, a := range Algorithms() {
		names = append(names, a.Name)
	}
	return names
}

// Lookup returns the algorithm of that name. The error names those that exist.
func Lookup(name string) (Algorithm, error) {
	for _, a := range Algorithms() {
		if a.Name == name {
			return a, nil
		}
	}
	return Algorithm{}, fmt.Errorf("cannot balance by %q: not one of %s", name, strings.Join(Names(), ", "))
}

// NewPicker returns a picker over a fixed set of backends, with the weights that they have now; it serves as
// pool.Options.NewPicker. The seed is where a rotation starts; 0 is the first backend.
func (a Algorithm) NewPicker(backends []*pool.Backend, seed uint64) pool.Picker {
	return a.newPicker(backends, seed, rand.Uint64)
}

// WithRandom returns NewPicker with another source of 64 random bits: a seeded one makes a simulation repeatable.
// It must be safe for concurrent use if the picker is used concurrently.
func (a Algorithm) WithRandom(random func() uint64) func([]*pool.Backend, uint64) pool.Picker {
	return func(backends []*pool.Backend, seed uint64) pool.Picker { return a.newPicker(backends, seed, random) }
}

func (a Algorithm) newPicker(backends []*pool.Backend, seed uint64, random source) pool.Picker {
	if len(backends) == 0 {
		return first(nil)
	}
	return a.build(slices.Clone(backends), seed, random)
}
