package balancer

import "lb/pool"

const (
	// exactUpTo is the largest set in which least_conn and peak_ewma look at every backend.
	exactUpTo = 32
	// samples is how many backends least_conn looks at in a larger set.
	samples = 8
	// races is how often it chooses again after another request took the last place of its choice.
	races = 4
)

// leastConn picks the backend with the fewest requests in flight for its weight, and among equals a random one by
// weight. Recent failures count as requests in flight.
//
// Up to 32 backends it looks at all, so that it never prefers a busy backend to an idle one. Reading 1,000 counters
// that other processors write would take microseconds, so in a larger set it looks at eight, a random one from each
// eighth of the set. The choice is then among the least busy eighth or so; it is a known result that with such
// choices the longest queue stays within a few requests of the mean. Only if all eight are full does it scan the rest
// for one with room.
type leastConn struct {
	backends []*pool.Backend
	weights  []int64
	random   source
}

func newLeastConn(backends []*pool.Backend, _ uint64, random source) pool.Picker {
	weights := weightsOf(backends)
	l := &leastConn{backends: backends, random: random}
	for _, w := range weights {
		l.weights = append(l.weights, int64(w))
	}
	return l
}

// Pick implements pool.Picker.
func (l *leastConn) Pick(uint64) *pool.Backend {
	for range races {
		random := l.random()
		var best choice
		if n := len(l.backends); n <= exactUpTo {
			for i := range l.backends {
				best.consider(l, i)
			}
		} else {
			l.sample(&best, random)
		}
		if best.count == 0 {
			break
		}
		if b := l.backends[best.one(l, random)]; b.Reserve() {
			return b
		}
	}
	return scan(l.backends, below(l.random(), len(l.backends)))
}

// sample considers one backend of each eighth, so that none is sampled twice and each can be sampled.
func (l *leastConn) sample(best *choice, random uint64) {
	n := len(l.backends)
	from := 0
	for k := range samples {
		to := (k + 1) * n / samples
		// SplitMix64: eight calls of the source would cost more than reading eight counters.
		random += 0x9e3779b97f4a7c15
		mixed := (random ^ random>>30) * 0xbf58476d1ce4e5b9
		mixed = (mixed ^ mixed>>27) * 0x94d049bb133111eb
		best.consider(l, from+below(mixed, to-from))
		from = to
	}
}

// choice holds the best backends seen so far, those with the least load for their weight.
type choice struct {
	load   int64 // of the first of them
	weight int64
	sum    int64 // of their weights
	count  int
	equals [exactUpTo]int32 // their indexes
}

// consider adds a backend to the choice if it has room and none is better.
func (c *choice) consider(l *leastConn, i int) {
	load, room := l.backends[i].Load()
	if !room {
		return
	}
	load += l.backends[i].RecentFailures()
	weight := l.weights[i]
	if c.count > 0 {
		mine, theirs := load*c.weight, c.load*weight
		if mine > theirs {
			return
		}
		if mine < theirs {
			c.count, c.sum = 0, 0
		}
	}
	if c.count == 0 {
		c.load, c.weight = load, weight
	}
	c.equals[c.count] = int32(i)
	c.count++
	c.sum += weight
}

// one draws one of the equals by weight.
func (c *choice) one(l *leastConn, random uint64) int {
	if c.count == 1 {
		return int(c.equals[0])
	}
	at := int64(below(random, int(c.sum)))
	for _, i := range c.equals[:c.count] {
		if at -= l.weights[i]; at < 0 {
			return int(i)
		}
	}
	return int(c.equals[0])
}
