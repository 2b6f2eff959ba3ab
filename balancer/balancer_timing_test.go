package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lb/pool"
)

// golden steps through keys evenly: 2⁶⁴ divided by the golden ratio.
const golden = 0x9e3779b97f4a7c15

var sizes = []int{3, 10, 32, 100, 1000, 10_000}

// BenchmarkPick measures a pick and its release, one request after the other.
func BenchmarkPick(b *testing.B) {
	forEach(b, func(b *testing.B, p pool.Picker) {
		for key := uint64(0); b.Loop(); key += golden {
			p.Pick(key).Release()
		}
	})
}

// BenchmarkPickParallel does the same from all processors at once.
func BenchmarkPickParallel(b *testing.B) {
	forEach(b, func(b *testing.B, p pool.Picker) {
		b.RunParallel(func(pb *testing.PB) {
			key := rand.Uint64()
			for pb.Next() {
				p.Pick(key).Release()
				key += golden
			}
		})
	})
}

// BenchmarkPickLimited measures picks with a max_conns, and so by compare-and-swap.
func BenchmarkPickLimited(b *testing.B) {
	for _, name := range Names() {
		p := picker(b, name, members(100, equal(100)...))
		b.Run(name+"/100", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Pick(0).Release()
			}
		})
	}
}

// BenchmarkPickNearlyFull measures the search for the only free place among 1,000 backends.
func BenchmarkPickNearlyFull(b *testing.B) {
	for _, name := range Names() {
		backends := members(1, equal(1000)...)
		for _, full := range backends[:999] {
			full.Reserve()
		}
		p := picker(b, name, backends)
		b.Run(name+"/1000", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Pick(0).Release()
			}
		})
	}
}

// BenchmarkBuild measures what a change of state costs: a new picker, for equal weights and for
// weights that have nothing in common.
func BenchmarkBuild(b *testing.B) {
	for _, name := range Names() {
		for _, n := range []int{10, 1000, 10_000} {
			mixed := make([]int, n)
			for i := range mixed {
				mixed[i] = 1 + (i*7919)%100
			}
			for kind, weights := range map[string][]int{"equal": equal(n), "mixed": mixed} {
				backends := members(0, weights...)
				b.Run(fmt.Sprintf("%s/%d/%s", name, n, kind), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						picker(b, name, backends)
					}
				})
			}
		}
	}
}

// BenchmarkPublish measures all of it: a backend of many changes its state.
func BenchmarkPublish(b *testing.B) {
	for _, a := range Algorithms() {
		const n = 10_000
		var list []pool.Member
		for i := range n {
			list = append(list, pool.Member{Address: fmt.Sprint("backend-", i, ":80"), Weight: 1 + i%7})
		}
		p := pool.New(pool.Options{Name: "app", NewPicker: a.NewPicker, Members: list})
		one, up := p.Backends()[0], true
		b.Run(fmt.Sprintf("%s/%d", a.Name, n), func(b *testing.B) {
			for b.Loop() {
				up = !up
				p.SetActive(one, up, "benchmark")
			}
		})
		p.Close()
	}
}

func forEach(b *testing.B, run func(*testing.B, pool.Picker)) {
	for _, name := range Names() {
		for _, n := range sizes {
			backends := members(0, equal(n)...)
			for i, backend := range backends { // without a history peak_ewma has less to do
				backend.Settle(backend.Await(), time.Duration(10+i%5)*time.Millisecond)
			}
			p := picker(b, name, backends)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				run(b, p)
			})
		}
	}
}
