package main

import (
	"math"
	"slices"
	"time"

	"lb/balancer"
)

const ms = time.Millisecond

// algorithms returns the names of those that are compared: all but first, which does not spread requests.
func algorithms() []string {
	return slices.DeleteFunc(balancer.Names(), func(name string) bool { return name == "first" })
}

// scenarios returns all scenarios, in the order of the report.
func scenarios() []scenario {
	return []scenario{slowHalfOfTheTime(), slowTenth(), coldStart(), mixedSizes(), flapping()}
}

// slowHalfOfTheTime is the experiment by which Buoyant compared round robin, least loaded and peak EWMA ("Beyond Round
// Robin", 2016): eleven backends, of which one is slow occasionally. None limits its concurrent requests: a slow
// response is slow because of its own work, such as a database query, and not because of a queue.
func slowHalfOfTheTime() scenario {
	return scenario{
		name: "slow now and then",
		text: "11 backends at 167 ms (±10 %), 1,000 requests a second; one of them takes 2 s for 30 s of each minute. " +
			"They serve any number of requests at a time.",
		backends: 11, balancers: 1, rate: 1000, length: 4 * time.Minute, deadline: time.Second,
		serve: func(i int, at time.Duration, luck float64) (time.Duration, bool) {
			if i == 0 && at%time.Minute >= 30*time.Second {
				return 2 * time.Second, true
			}
			return time.Duration((0.9 + 0.2*luck) * float64(167*ms)), true
		},
	}
}

// slowTenth is a large fleet in which each tenth machine is five times slower.
func slowTenth() scenario {
	return scenario{
		name: "a slow tenth",
		text: "1,000 backends behind 100 balancers that know nothing of each other, 11,000 requests a second. A backend serves one " +
			"request at a time, in 50 ms on average; one in ten takes 250 ms.",
		backends: 1000, balancers: 100, rate: 11_000, length: 20 * time.Second, deadline: time.Second,
		workers: func(int) int { return 1 },
		serve: func(i int, _ time.Duration, luck float64) (time.Duration, bool) {
			if i%10 == 0 {
				return exponential(250*ms, luck), true
			}
			return exponential(50*ms, luck), true
		},
	}
}

// coldStart has a backend join under load whose caches are empty.
func coldStart() scenario {
	const joined, warm = 20 * time.Second, 10 * time.Second
	return scenario{
		name: "cold start",
		text: "20 backends of 4 workers at 50 ms, 10 balancers, 1,000 requests a second. The last one joins after 20 s " +
			"and is ten times slower for its first 10 s.",
		backends: 20, balancers: 10, rate: 1000, length: time.Minute, deadline: time.Second,
		workers: func(int) int { return 4 },
		joins: func(i int) time.Duration {
			if i == 19 {
				return joined
			}
			return 0
		},
		serve: func(i int, at time.Duration, luck float64) (time.Duration, bool) {
			if i == 19 && at < joined+warm {
				return exponential(500*ms, luck), true
			}
			return exponential(50*ms, luck), true
		},
	}
}

// mixedSizes has machines of four sizes without weights.
func mixedSizes() scenario {
	return scenario{
		name: "mixed sizes",
		text: "24 backends with 1, 2, 4 or 8 workers at 50 ms and all of weight 1, 4 balancers, 1,200 requests a second: " +
			"two thirds of what they can do together.",
		backends: 24, balancers: 4, rate: 1200, length: time.Minute, deadline: time.Second,
		workers: func(i int) int { return 1 << (i % 4) },
		serve: func(_ int, _ time.Duration, luck float64) (time.Duration, bool) {
			return exponential(50*ms, luck), true
		},
	}
}

// flapping has one backend that fails at once, every other five seconds.
func flapping() scenario {
	return scenario{
		name: "flapping",
		text: "10 backends at 50 ms, 1,000 requests a second; one of them responds with 503 within 1 ms for 5 s of each ten. Nothing is " +
			"retried and no backend ejected, to see the algorithms alone.",
		backends: 10, balancers: 1, rate: 1000, length: 2 * time.Minute, deadline: time.Second,
		serve: func(i int, at time.Duration, luck float64) (time.Duration, bool) {
			if i == 0 && at%(10*time.Second) >= 5*time.Second {
				return ms, false
			}
			return exponential(50*ms, luck), true
		},
	}
}

// exponential returns an exponentially distributed time with that mean: most are short, a few long.
func exponential(mean time.Duration, luck float64) time.Duration {
	return time.Duration(-math.Log(1-luck) * float64(mean))
}
