package balancer

import "lb/pool"

// random draws a backend with the probability that its weight gives. Requests share nothing but the backends.
type random struct {
	backends []*pool.Backend
	draw     alias
	random   source
}

func newRandom(backends []*pool.Backend, _ uint64, from source) pool.Picker {
	weights := weightsOf(backends)
	return &random{backends, newAlias(weights), from}
}

// Pick implements pool.Picker. If the drawn backend is full, it falls back on the next one with room.
func (r *random) Pick(uint64) *pool.Backend {
	i := r.draw.index(r.random())
	if b := r.backends[i]; b.Reserve() {
		return b
	}
	return scan(r.backends, i)
}

// alias draws an index by weight in constant time (Vose's alias method): it draws a column uniformly, then one
// comparison decides between the column's own index and the other one that shares it.
type alias []column

type column struct {
	own   uint32 // of 2³²: the share of the column's own index; the rest is other's
	other uint32
}

const whole = 1<<32 - 1

func newAlias(weights []int) alias {
	n := len(weights)
	sum := 0
	for _, w := range weights {
		sum += w
	}
	columns := make(alias, n)
	share := make([]float64, n) // 1 fills a column
	var poor, rich []int
	for i, w := range weights {
		columns[i] = column{whole, uint32(i)}
		share[i] = float64(w) * float64(n) / float64(sum)
		if share[i] < 1 {
			poor = append(poor, i)
		} else {
			rich = append(rich, i)
		}
	}
	// Each poor column is filled from a rich one, which may become poor by that.
	for len(poor) > 0 && len(rich) > 0 {
		p, r := poor[len(poor)-1], rich[len(rich)-1]
		poor = poor[:len(poor)-1]
		columns[p] = column{uint32(share[p] * whole), uint32(r)}
		share[r] -= 1 - share[p]
		if share[r] < 1 {
			rich = rich[:len(rich)-1]
			poor = append(poor, r)
		}
	}
	return columns
}

// index uses the upper half of the random bits for the column and the lower for the comparison.
func (a alias) index(random uint64) int {
	i := below(random, len(a))
	if c := a[i]; uint32(random) > c.own {
		return int(c.other)
	}
	return i
}
