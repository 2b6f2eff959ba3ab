package balancer

import (
	"fmt"
	"testing"

	"lb/pool"
)

var sizes = []int{3, 10, 32, 100, 1000}

// BenchmarkPick measures a pick and its release, one request after the other.
func BenchmarkPick(b *testing.B) {
	forEach(b, func(b *testing.B, p pool.Picker) {
		for b.Loop() {
			p.Pick(0).Release()
		}
	})
}

// BenchmarkPickParallel does the same from all processors at once.
func BenchmarkPickParallel(b *testing.B) {
	forEach(b, func(b *testing.B, p pool.Picker) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p.Pick(0).Release()
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

// BenchmarkBuild measures what a change of state costs: a new picker, with weights that have nothing in common.
func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes {
		weights := make([]int, n)
		for i := range weights {
			weights[i] = 1 + (i*7919)%100
		}
		backends := members(0, weights...)
		b.Run(fmt.Sprintf("round_robin/%d", n), func(b *testing.B) {
			for b.Loop() {
				newRoundRobin(backends, 0, nil)
			}
		})
	}
}

func forEach(b *testing.B, run func(*testing.B, pool.Picker)) {
	for _, name := range Names() {
		for _, n := range sizes {
			p := picker(b, name, members(0, equal(n)...))
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				run(b, p)
			})
		}
	}
}
