package balancer

import "lb/pool"

// p2c draws two different backends and picks the one with fewer requests in flight for its weight. Recent failures
// count as requests in flight. It avoids busy backends by looking at two, however many there are.
//
// The first is drawn by weight and wins a tie, so that an idle pool is used by weight.
type p2c struct {
	backends []*pool.Backend
	weights  []int
	draw     alias
	random   source
}

func newP2C(backends []*pool.Backend, _ uint64, random source) pool.Picker {
	weights := weightsOf(backends)
	return &p2c{backends, weights, newAlias(weights), random}
}

// Pick implements pool.Picker. If both are full, it falls back on the next one with room.
func (p *p2c) Pick(uint64) *pool.Backend {
	i, j := drawTwo(p.draw, p.random)
	one, other := p.backends[i], p.backends[j]
	a, roomA := one.Load()
	b, roomB := other.Load()
	a, b = a+one.RecentFailures(), b+other.RecentFailures()
	if !roomA || roomB && b*int64(p.weights[i]) < a*int64(p.weights[j]) {
		one, other = other, one
	}
	if one.Reserve() {
		return one
	}
	if other.Reserve() {
		return other
	}
	return scan(p.backends, i)
}

// drawTwo draws two different indexes if there are two. The first is drawn by weight, the second from the other n-1.
func drawTwo(draw alias, random source) (i, j int) {
	i = draw.index(random())
	if len(draw) == 1 {
		return i, i
	}
	j = below(random(), len(draw)-1)
	if j >= i {
		j++
	}
	return i, j
}
