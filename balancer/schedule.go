package balancer

import "slices"

// The most turns of a schedule. Up to that weights are exact; beyond it each share is rounded to whole turns, and
// every backend has at least one.
const (
	minScheduleLimit = 4096
	turnsPerBackend  = 16
)

// indexBits has room for a million backends.
const indexBits = 20

// interleave returns the indexes of the weights in the order of their turns. Each occurs as often as its weight says,
// spread as evenly as whole turns allow: with 5, 1 and 1 there are no five turns in a row.
//
// A backend of weight w has its turns at the times (k+phase)/w of one round. Backends of the same weight divide the
// phases among themselves, so that they take turns in order.
func interleave(weights []int) []int {
	weights = reduce(weights)
	most := slices.Max(weights)
	same, seen := make([]int, most+1), make([]int, most+1) // how many have this weight, and had it so far
	total := 0
	for _, w := range weights {
		same[w]++
		total += w
	}
	// A turn is its time, in 2⁻⁴⁰ of a round, above the index, so that numbers sort by time and then by index.
	turns := make([]uint64, 0, total)
	for i, w := range weights {
		phase := (float64(seen[w]) + 0.5) / float64(same[w])
		seen[w]++
		for k := range w {
			at := (float64(k) + phase) / float64(w)
			turns = append(turns, uint64(at*(1<<40))<<indexBits|uint64(i))
		}
	}
	order := make([]int, total)
	for i, t := range sortTurns(turns) {
		order[i] = int(t & (1<<indexBits - 1))
	}
	return order
}

// sortTurns sorts with one bucket for each turn's worth of time. A round is filled evenly, so little is left to
// compare.
func sortTurns(turns []uint64) []uint64 {
	n := uint64(len(turns))
	bucket := func(t uint64) uint64 { return (t >> indexBits) * n >> 40 }
	ends := make([]uint32, n+1)
	for _, t := range turns {
		ends[bucket(t)+1]++
	}
	for i := range n {
		ends[i+1] += ends[i]
	}
	sorted := make([]uint64, n)
	for _, t := range turns { // turns each bucket's begin into its end
		sorted[ends[bucket(t)]] = t
		ends[bucket(t)]++
	}
	begin := uint32(0)
	for _, end := range ends[:n] {
		if end > begin+1 {
			slices.Sort(sorted[begin:end])
		}
		begin = end
	}
	return sorted
}

// reduce divides the weights by their common divisor, and scales them down if the sum is still too large.
func reduce(weights []int) []int {
	sum, divisor := 0, 0
	for _, w := range weights {
		sum += w
		divisor = gcd(divisor, w)
	}
	limit := max(minScheduleLimit, turnsPerBackend*len(weights))
	reduced := make([]int, len(weights))
	for i, w := range weights {
		if sum/divisor <= limit {
			reduced[i] = w / divisor
		} else {
			reduced[i] = max(1, (w*limit+sum/2)/sum)
		}
	}
	return reduced
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
