package balancer

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lb/pool"
)

func TestInterleave(t *testing.T) {
	for _, c := range []struct {
		weights []int
		want    string
	}{
		{[]int{1, 1, 1}, "abc"},
		{[]int{7, 7}, "ab"},
		{[]int{2, 1}, "aba"},
		{[]int{5, 1, 1}, "abaaaca"},
		{[]int{50, 10, 10}, "abaaaca"},
		{[]int{2, 1, 1}, "abac"},
		{[]int{1, 3}, "babb"},
	} {
		var got strings.Builder
		for _, i := range interleave(c.weights) {
			got.WriteByte("abcdefgh"[i])
		}
		if got.String() != c.want {
			t.Errorf("%v: %s, want %s", c.weights, &got, c.want)
		}
	}
}

// Each backend gets its exact share in a round, and in any part of one never two turns
// more or less than its share: no runs.
func TestInterleaveIsSmooth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 12).Draw(t, "weights")
		order := interleave(weights)
		counts := make([]int, len(weights))
		for _, i := range order {
			counts[i]++
		}
		reduced := reduce(weights)
		for i := range weights {
			if counts[i] != reduced[i] || counts[i]*weights[0] != counts[0]*weights[i] {
				t.Fatalf("weights %v came out as %v", weights, counts)
			}
		}
		got := make([]int, len(weights))
		for at := range 2 * len(order) {
			got[order[at%len(order)]]++
			for i := range got {
				share := float64(at+1) * float64(counts[i]) / float64(len(order))
				if off := float64(got[i]) - share; off > 2 || off < -2 {
					t.Fatalf("weights %v: after %d turns backend %d had %d, share %.2f", weights, at+1, i, got[i], share)
				}
			}
		}
	})
}

func TestLargeWeightsAreScaled(t *testing.T) {
	order := interleave([]int{65535, 65534, 1})
	counts := make([]int, 3)
	for _, i := range order {
		counts[i]++
	}
	if len(order) > minScheduleLimit+3 || counts[2] != 1 || counts[0]-counts[1] > 1 || counts[0] < minScheduleLimit/2-1 {
		t.Errorf("%d turns: %v", len(order), counts)
	}
}

func TestRoundRobinTakesTurns(t *testing.T) {
	backends := members(0, 1, 1, 1)
	for seed := range uint64(5) {
		p := newRoundRobin(backends, seed, nil)
		for i := range uint64(7) {
			if b := p.Pick(0); b != backends[(seed+i)%3] {
				t.Errorf("seed %d, pick %d: %s", seed, i, b.Address())
			}
		}
	}
}

func TestRoundRobinSkipsFullBackends(t *testing.T) {
	backends := []*pool.Backend{
		pool.NewBackend(pool.Member{Address: "a", Weight: 100, MaxConns: 1}),
		pool.NewBackend(pool.Member{Address: "b"}),
		pool.NewBackend(pool.Member{Address: "c"}),
	}
	p := newRoundRobin(backends, 0, nil)
	for range 300 {
		p.Pick(0)
	}
	if got := inFlight(backends); got[0] != 1 || got[1] == 0 || got[2] == 0 || got[1]+got[2] != 299 {
		t.Errorf("in flight: %v", got)
	}
}
