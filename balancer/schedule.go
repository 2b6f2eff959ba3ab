package balancer

import "slices"

// The most turns of a schedule. Up to there the weights hold exactly; above, each share is rounded
// to whole turns, and no backend gets less than one.
const (
	minScheduleLimit = 4096
	turnsPerBackend  = 16
)

// indexBits is room for a million backends.
const indexBits = 20

// interleave returns the indexes of the weights in the order of their turns, each as often as its weight
// says, spread as evenly as whole turns allow: with 5, 1 and 1 not five turns in a row.
//
// A backend of weight w has its turns at the times (k+phase)/w of one round. Backends of the same weight
// share out the phases among themselves, so that they take turns in their order.
func interleave(weights []int) []int {
	weights = reduce(weights)
	same := map[int]int{} // how many have this weight
	for _, w := range weights {
		same[w]++
	}
	seen := map[int]int{}
	// A turn is its time, in 2⁻⁴⁰ of a round, above the index: sorted as a number, by time and then by order.
	var turns []uint64
	for i, w := range weights {
		phase := (float64(seen[w]) + 0.5) / float64(same[w])
		seen[w]++
		for k := range w {
			at := (float64(k) + phase) / float64(w)
			turns = append(turns, uint64(at*(1<<40))<<indexBits|uint64(i))
		}
	}
	slices.Sort(turns)
	order := make([]int, len(turns))
	for i, t := range turns {
		order[i] = int(t & (1<<indexBits - 1))
	}
	return order
}

// reduce divides the weights by what they have in common, and scales them down if that is not enough.
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
