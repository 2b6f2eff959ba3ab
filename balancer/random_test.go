package balancer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lb/internal/limits"
	"lb/pool"
)

// The table itself gives the probability of each index, so none need be drawn.
func TestAliasHoldsTheWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, limits.MaxWeight), 1, 50).Draw(t, "weights")
		table := newAlias(weights)
		share := make([]float64, len(weights))
		sum := 0
		for i, c := range table {
			own := (float64(c.own) + 1) / (whole + 1)
			share[i] += own / float64(len(table))
			share[c.other] += (1 - own) / float64(len(table))
			sum += weights[i]
		}
		for i, w := range weights {
			if want := float64(w) / float64(sum); math.Abs(share[i]-want) > 1e-7 {
				t.Fatalf("weights %v: index %d has %.6f, want %.6f", weights, i, share[i], want)
			}
		}
	})
}

func TestAliasDraws(t *testing.T) {
	table := newAlias([]int{3, 1, 6})
	source := rand.New(rand.NewPCG(1, 2))
	counts := make([]int, 3)
	for range 100_000 {
		counts[table.index(source.Uint64())]++
	}
	for i, want := range []int{30_000, 10_000, 60_000} {
		if off := counts[i] - want; off > 700 || off < -700 {
			t.Errorf("index %d came up %d times, want about %d", i, counts[i], want)
		}
	}
}

// Two draws that can be the same backend are only one choice.
func TestTwoChoicesDiffer(t *testing.T) {
	source := rand.New(rand.NewPCG(3, 4))
	for _, weights := range [][]int{{1, 1}, {1, 1, 1}, {100, 1}, {1, 5, 1, 90}} {
		draw := newAlias(weights)
		pairs := map[[2]int]bool{}
		for range 20_000 {
			i, j := drawTwo(draw, source.Uint64)
			if i == j {
				t.Fatalf("weights %v: the same twice", weights)
			}
			pairs[[2]int{i, j}] = true
		}
		if n := len(weights); len(pairs) != n*(n-1) {
			t.Errorf("weights %v: %d of %d pairs came up", weights, len(pairs), n*(n-1))
		}
	}
}

// Of two backends the choice is always the less busy one, whichever is drawn first.
func TestP2COfTwoIsExact(t *testing.T) {
	backends := members(0, 1, 1)
	p := picker(t, "p2c", backends)
	for range 10 {
		backends[0].Reserve()
	}
	for i := range 9 {
		if b := p.Pick(0); b != backends[1] {
			t.Fatalf("pick %d went to the busy one", i)
		}
	}
}

func TestP2CIdleByWeight(t *testing.T) {
	backends := members(0, 3, 1)
	p := newP2C(backends, 0, rand.New(rand.NewPCG(5, 6)).Uint64)
	heavy := 0
	for range 10_000 {
		b := p.Pick(0)
		if b == backends[0] {
			heavy++
		}
		b.Release()
	}
	if heavy < 7300 || heavy > 7700 {
		t.Errorf("the backend of weight 3 of 4 got %d of 10,000", heavy)
	}
}

// Ties are shared out. The test looks at all counts, since one alone would pass if the last backend always won.
func TestLeastConnSharesTies(t *testing.T) {
	for _, c := range []struct {
		weights []int
		busy    []int // indexes with a request in flight, that therefore get nothing
	}{
		{weights: equal(3)},
		{weights: equal(5), busy: []int{0}},
		{weights: equal(4), busy: []int{3}},
		{weights: []int{1, 2, 5}},
		{weights: equal(32)},
		{weights: equal(64)},
	} {
		backends := members(0, c.weights...)
		p := newLeastConn(backends, 0, rand.New(rand.NewPCG(7, 8)).Uint64)
		sum := 0
		for i, w := range c.weights {
			if slices.Contains(c.busy, i) {
				backends[i].Reserve()
			} else {
				sum += w
			}
		}
		counts := map[*pool.Backend]int{}
		const picks = 60_000
		for range picks {
			b := p.Pick(0)
			counts[b]++
			b.Release()
		}
		for i, b := range backends {
			want := picks * c.weights[i] / sum
			if slices.Contains(c.busy, i) {
				want = 0
			}
			if slack := int(6 * math.Sqrt(float64(want))); counts[b] < want-slack || counts[b] > want+slack {
				t.Errorf("weights %v busy %v: backend %d got %d, want about %d", c.weights, c.busy, i, counts[b], want)
			}
		}
	}
}

// Up to 32 backends least_conn takes one that no other beats.
func TestLeastConnIsExactWhenSmall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 2, exactUpTo).Draw(t, "weights")
		backends := members(0, weights...)
		for _, b := range backends {
			for range rapid.IntRange(0, 20).Draw(t, "load") {
				b.Reserve()
			}
		}
		p := newLeastConn(backends, 0, rand.Uint64)
		for range 20 {
			before := inFlight(backends)
			chosen := slices.Index(backends, p.Pick(0))
			for i := range backends {
				if before[i]*int64(weights[chosen]) < before[chosen]*int64(weights[i]) {
					t.Fatalf("picked %d (%d in flight, weight %d) while %d had %d, weight %d",
						chosen, before[chosen], weights[chosen], i, before[i], weights[i])
				}
			}
		}
	})
}

// In a large set the choice is made among eight: the load stays even nevertheless, and a
// sample never has the same backend twice.
func TestLeastConnSampleStaysEven(t *testing.T) {
	backends := members(0, equal(1000)...)
	p := newLeastConn(backends, 0, rand.New(rand.NewPCG(9, 10)).Uint64)
	for range 10_000 {
		p.Pick(0)
	}
	counts := inFlight(backends)
	if most, least := slices.Max(counts), slices.Min(counts); most > 12 || least < 6 {
		t.Errorf("10,000 requests on 1,000 backends: between %d and %d each", least, most)
	}
	idle := members(0, equal(33)...)
	l := newLeastConn(idle, 0, rand.New(rand.NewPCG(11, 12)).Uint64).(*leastConn)
	drawn := map[int32]bool{}
	for range 2_000 {
		var best choice
		l.sample(&best, l.random())
		equals := slices.Sorted(slices.Values(best.equals[:best.count]))
		if len(slices.Compact(equals)) != samples {
			t.Fatalf("a sample of %v", best.equals[:best.count])
		}
		for _, i := range equals {
			drawn[i] = true
		}
	}
	if len(drawn) != 33 {
		t.Errorf("%d of 33 were ever looked at", len(drawn))
	}
}
