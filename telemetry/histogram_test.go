package telemetry

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
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

// TestLoopsAreSummed: what several loops have counted is one series, and a scope that holds it too sees the same.
func TestLoopsAreSummed(t *testing.T) {
	r := NewRegistry()
	s, later := r.NewScope(), r.NewScope()
	h := s.LoopHistogram("lb_request_duration_seconds", "site", "a")
	c := s.CodeCounters("lb_requests_total", "site", "a")
	n := s.LoopCounter("lb_response_bytes_total", "site", "a")
	const loops = 100 // more than there are processors
	for loop := range loops {
		h.ObserveOn(loop, time.Millisecond)
		c.IncOn(loop, 200)
		n.Add(loop, 10)
	}
	n.Add(3, -1)
	if again := later.LoopCounter("lb_response_bytes_total", "site", "a"); again.Get() != 10*loops-1 {
		t.Errorf("the later scope has %d bytes", again.Get())
	}
	s.Close()
	text := scrape(t, r)
	if want := `lb_response_bytes_total{site="a"} 999` + "\n"; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, ours(text))
	}
	later.Close()
	if text := ours(scrape(t, r)); strings.Contains(text, `site="a"`) {
		t.Errorf("still shown:\n%s", text)
	}
	if h.Count() != loops || h.Sum() != loops*time.Millisecond || c.Count(200) != loops || c.Total() != loops {
		t.Errorf("%d observed, %v, %d counted, %d of them 200", h.Count(), h.Sum(), c.Total(), c.Count(200))
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	s := NewRegistry().NewScope()
	h := s.LoopHistogram("lb_queue_wait_seconds")
	c := s.CodeCounters("lb_requests_total")
	c.Inc(200)
	if n := testing.AllocsPerRun(1000, func() { h.ObserveOn(1, time.Second); c.IncOn(1, 200) }); n != 0 {
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

func BenchmarkHistogramObserveOnLoops(b *testing.B) {
	h := NewRegistry().NewScope().LoopHistogram("lb_queue_wait_seconds")
	var loops atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		loop, d := int(loops.Add(1)), 3*time.Millisecond
		for p.Next() {
			h.ObserveOn(loop, d)
		}
	})
}
