package telemetry

import (
	"math"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestHistogramBuckets(t *testing.T) {
	r := NewRegistry()
	h := r.NewScope().Histogram("lb_queue_wait_seconds", "pool", "a")
	for _, d := range []time.Duration{
		-1, 0, 500 * time.Microsecond, // the bound itself is in the bucket
		501 * time.Microsecond, 24 * time.Millisecond, time.Minute, time.Hour, math.MaxInt64 / 2,
	} {
		h.Observe(d)
	}
	text := scrape(t, r)
	for _, want := range []string{
		`_bucket{pool="a",le="0.0005"} 3`,
		`_bucket{pool="a",le="0.001"} 4`,
		`_bucket{pool="a",le="0.01"} 4`,
		`_bucket{pool="a",le="0.025"} 5`,
		`_bucket{pool="a",le="30"} 5`,
		`_bucket{pool="a",le="60"} 6`,
		`_bucket{pool="a",le="+Inf"} 8`,
		`_count{pool="a"} 8`,
	} {
		if !strings.Contains(text, "lb_queue_wait_seconds"+want+"\n") {
			t.Errorf("no %s in\n%s", want, ours(text))
		}
	}
	if h.Count() != 8 {
		t.Errorf("count %d", h.Count())
	}
}

func TestHistogramSum(t *testing.T) {
	r := NewRegistry()
	h := r.NewScope().Histogram("lb_queue_wait_seconds")
	h.Observe(1500 * time.Millisecond)
	h.Observe(499 * time.Nanosecond) // rounds down
	h.Observe(500 * time.Nanosecond) // rounds up
	h.Observe(-time.Hour)
	if h.Sum() != 1500*time.Millisecond+time.Microsecond {
		t.Errorf("sum %v", h.Sum())
	}
	if text := scrape(t, r); !strings.Contains(text, "lb_queue_wait_seconds_sum 1.500001\n") {
		t.Error(ours(text))
	}
}

func TestConcurrentCounting(t *testing.T) {
	s := NewRegistry().NewScope()
	h := s.Histogram("lb_queue_wait_seconds")
	c := s.CodeCounters("lb_requests_total")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 9000 {
				h.Observe(time.Duration(i) * time.Microsecond)
				c.Inc(100 + i%900)
			}
		})
	}
	wg.Wait()
	if h.Count() != 72000 || c.Total() != 72000 || c.Count(404) != 80 {
		t.Errorf("%d observed, %d counted, %d of them 404", h.Count(), c.Total(), c.Count(404))
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := NewRegistry().NewScope()
	h := s.Histogram("lb_queue_wait_seconds")
	c := s.CodeCounters("lb_requests_total")
	c.Inc(200)
	if n := testing.AllocsPerRun(1000, func() { h.Observe(time.Second); c.Inc(200) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHistogramObserve(b *testing.B) {
	h := NewRegistry().NewScope().Histogram("lb_queue_wait_seconds")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		d := 3 * time.Millisecond
		for p.Next() {
			h.Observe(d)
		}
	})
}
