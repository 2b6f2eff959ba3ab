package main

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"lb/balancer"
	"lb/internal/stablehash"
	"lb/pool"
)

// scenario is a fleet and its load.
type scenario struct {
	name      string
	text      string // for the report, one sentence
	backends  int
	balancers int
	rate      float64 // requests a second, at random times (Poisson), each at a random balancer
	length    time.Duration
	deadline  time.Duration // a request succeeds if its response arrives within this time

	// workers is how many requests backend i serves at a time; the others wait in its queue, first come first
	// served. 0, or no func: any number, and none waits.
	workers func(i int) int
	// serve is how backend i serves a request that it begins with at a time: how long, and whether it succeeds.
	// Luck is uniform in 0 to 1, and the same for a request with each algorithm.
	serve func(i int, at time.Duration, luck float64) (took time.Duration, ok bool)
	// joins is when backend i joins; no func: all exist from the beginning.
	joins func(i int) time.Duration
}

// result is what the clients saw.
type result struct {
	requests int
	success  float64 // share
	median   time.Duration
	p99      time.Duration
}

// users is how many keys there are for the algorithm that hashes.
const users = 10_000

// simulation runs one scenario with one algorithm. It has its own time, which does not advance while a picker picks.
type simulation struct {
	scenario
	now      time.Duration
	views    []view
	free     [][]time.Duration // by backend: when each of its workers is free
	inFlight responses
	times    []time.Duration
	good     int
}

// view is one balancer's view: its own counts and averages of the same backends.
type view struct {
	backends []*pool.Backend
	picker   pool.Picker
	index    map[*pool.Backend]int // in the scenario
}

// run simulates. The same seed gives the same result.
func run(s scenario, algorithm string, seed uint64) (result, error) {
	a, err := balancer.Lookup(algorithm)
	if err != nil {
		return result{}, err
	}
	factory := a.WithRandom(rand.New(rand.NewPCG(seed, 1)).Uint64)
	sim := &simulation{scenario: s, views: make([]view, s.balancers), free: make([][]time.Duration, s.backends)}
	for i := range sim.free {
		if s.workers != nil {
			sim.free[i] = make([]time.Duration, s.workers(i))
		}
	}
	joins := sim.schedule()
	world := rand.New(rand.NewPCG(seed, 2))
	next := time.Duration(0)
	for {
		next += time.Duration(world.ExpFloat64() / s.rate * float64(time.Second))
		if next >= s.length {
			break
		}
		for len(joins) > 0 && joins[0].at <= next {
			sim.until(joins[0].at)
			sim.join(joins[0].backend, factory, seed)
			joins = joins[1:]
		}
		sim.until(next)
		key := stablehash.New().AddString(fmt.Sprint(world.IntN(users))).Sum()
		sim.ask(world.IntN(s.balancers), key, world.Float64())
	}
	sim.until(math.MaxInt64)
	slices.Sort(sim.times)
	n := len(sim.times)
	return result{n, float64(sim.good) / float64(n), sim.times[n/2], sim.times[n*99/100]}, nil
}

type joining struct {
	at      time.Duration
	backend int
}

func (sim *simulation) schedule() []joining {
	var list []joining
	for i := range sim.scenario.backends {
		j := joining{backend: i}
		if sim.joins != nil {
			j.at = sim.joins(i)
		}
		list = append(list, j)
	}
	slices.SortStableFunc(list, func(a, b joining) int { return int(a.at - b.at) })
	return list
}

// join makes a backend known to all balancers. Those that join at the same time share one new picker.
func (sim *simulation) join(i int, factory func([]*pool.Backend, uint64) pool.Picker, seed uint64) {
	m := pool.Member{Address: fmt.Sprintf("10.%d.%d.%d:80", i>>16, i>>8&255, i&255)}
	for k := range sim.views {
		v := &sim.views[k]
		b := pool.NewBackendWith(m, func() int64 { return int64(sim.now) })
		if v.index == nil {
			v.index = map[*pool.Backend]int{}
		}
		v.backends, v.index[b] = append(v.backends, b), i
		if len(v.backends) >= sim.first() {
			v.picker = factory(v.backends, stablehash.Mix(seed+uint64(k)))
		}
	}
}

// first returns how many backends exist from the beginning.
func (sim *simulation) first() int {
	n := 0
	for i := range sim.scenario.backends {
		if sim.joins == nil || sim.joins(i) == 0 {
			n++
		}
	}
	return n
}

// ask sends one request through a balancer.
func (sim *simulation) ask(by int, key uint64, luck float64) {
	b := sim.views[by].picker.Pick(key)
	i := sim.views[by].index[b]
	begin := sim.now
	worker := -1
	if free := sim.free[i]; len(free) > 0 {
		worker = 0
		for k := range free {
			if free[k] < free[worker] {
				worker = k
			}
		}
		begin = max(begin, free[worker])
	}
	took, ok := sim.serve(i, begin, luck)
	if worker >= 0 {
		sim.free[i][worker] = begin + took
	}
	heap.Push(&sim.inFlight, response{begin + took, sim.now, b, b.Await(), ok})
}

// until advances the time, with all responses that arrive meanwhile.
func (sim *simulation) until(then time.Duration) {
	for len(sim.inFlight) > 0 && sim.inFlight[0].at <= then {
		a := heap.Pop(&sim.inFlight).(response)
		sim.now = a.at
		took := a.at - a.asked
		sim.times = append(sim.times, took)
		if a.ok {
			a.backend.Settle(a.wait, took)
			a.backend.Report(pool.Success)
			if took <= sim.deadline {
				sim.good++
			}
		} else {
			a.backend.Settle(a.wait, 0)
			a.backend.Report(pool.Status)
		}
		a.backend.Release()
	}
	sim.now = then
}

// response is the response to a request in flight.
type response struct {
	at, asked time.Duration
	backend   *pool.Backend
	wait      pool.Waiting
	ok        bool
}

// responses is a heap, the next one first.
type responses []response

func (a responses) Len() int           { return len(a) }
func (a responses) Less(i, j int) bool { return a[i].at < a[j].at }
func (a responses) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *responses) Push(x any)        { *a = append(*a, x.(response)) }
func (a *responses) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
