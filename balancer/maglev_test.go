package balancer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lb/internal/limits"
	"lb/pool"
)

// owners returns the addresses that a table's slots belong to.
func owners(backends []*pool.Backend) []string {
	weights := weightsOf(backends)
	var names []string
	for _, i := range newMaglev(backends, weights) {
		if i == 0 {
			names = append(names, "")
		} else {
			names = append(names, backends[i-1].Address())
		}
	}
	return names
}

func slotCounts(names []string) map[string]int {
	counts := map[string]int{}
	for _, name := range names {
		counts[name]++
	}
	delete(counts, "") // empty slots
	return counts
}

// Equal weights have exactly equal shares, and every backend has some.
func TestMaglevIsEven(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 100, 1000, 10_000} {
		least, most := 1<<30, 0
		counts := slotCounts(owners(members(0, slices.Repeat([]int{3}, n)...)))
		for _, slots := range counts {
			least, most = min(least, slots), max(most, slots)
		}
		if len(counts) != n || most != least {
			t.Errorf("%d of %d backends have from %d to %d slots", len(counts), n, least, most)
		}
	}
}

func TestMaglevHonoursWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, limits.MaxWeight), 1, 30).Draw(t, "weights")
		checkWeights(t, weights)
	})
	many := make([]int, 10_000) // too many to have exact shares of the small table
	for i := range many {
		many[i] = 1 + i*7919%100
	}
	checkWeights(t, many)
}

// checkWeights compares the slots of each backend with its share of all that are not empty. Rounding down takes
// less than one slot from each, and so less than one in averageSlots from the sum.
func checkWeights(t rapid.TB, weights []int) {
	backends := members(0, weights...)
	counts := slotCounts(owners(backends))
	sum, slots := 0, 0
	for i, w := range weights {
		sum += w
		slots += counts[backends[i].Address()]
	}
	for i, b := range backends {
		share := float64(slots) * float64(weights[i]) / float64(sum)
		if off := float64(counts[b.Address()]) - share; off < -1-share/averageSlots || off > 1+share/averageSlots {
			t.Fatalf("backend %d of weight %d has %d slots, its share is %.1f", i, weights[i], counts[b.Address()], share)
		}
	}
}

// Several balancers list the same backends in different orders, and agree.
func TestMaglevIgnoresOrder(t *testing.T) {
	backends := members(0, 3, 1, 4, 1, 5, 9, 2, 6)
	want := owners(backends)
	shuffle := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		shuffle.Shuffle(len(backends), func(i, j int) { backends[i], backends[j] = backends[j], backends[i] })
		if !slices.Equal(owners(backends), want) {
			t.Fatal("another order made another table")
		}
	}
}

// One of ten that leaves takes its own tenth of the keys with it and hardly any other.
func TestMaglevMovesFewKeys(t *testing.T) {
	for _, n := range []int{10, 100, 5000} {
		backends := members(0, equal(n)...)
		all := picker(t, "hash", backends)
		for removed := range 3 {
			less := picker(t, "hash", slices.Delete(slices.Clone(backends), removed*n/3, removed*n/3+1))
			const keys = 20_000
			moved := 0
			for i := range keys {
				before, after := all.Pick(keyOf(i)), less.Pick(keyOf(i))
				if before != after {
					moved++
				}
				before.Release()
				after.Release()
			}
			percent := 100 * float64(moved) / keys
			if limit := 100/float64(n) + 2; percent > limit {
				t.Errorf("one of %d removed: %.2f %% of the keys moved, want at most %.0f", n, percent, limit)
			}
		}
	}
}

// The first slots of a table must never change: another table would move the clients of every backend.
func TestMaglevIsStable(t *testing.T) {
	backends := members(0, equal(5)...)
	var got strings.Builder
	for _, name := range owners(backends)[:12] {
		got.WriteString(strings.TrimSuffix(strings.TrimPrefix(name+" ", "10.0.0."), ":80 "))
	}
	if want := "234131134432"; got.String() != want {
		t.Errorf("the table begins with %s, want %s", &got, want)
	}
}
