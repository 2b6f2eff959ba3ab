package gcra

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"lb/internal/lbtest"
)

const second = int64(time.Second)

// TestTake: a burst passes at once, then events at the rate.
func TestTake(t *testing.T) {
	table, r := NewTable(64), NewRate(10, 3)
	now := 5 * second
	for _, step := range []struct {
		after time.Duration
		want  Decision
	}{
		{0, Decision{OK: true, Remaining: 2, Reset: 100 * time.Millisecond}},
		{0, Decision{OK: true, Remaining: 1, Reset: 200 * time.Millisecond}},
		{0, Decision{OK: true, Remaining: 0, Reset: 300 * time.Millisecond}},
		{0, Decision{Retry: 100 * time.Millisecond, Reset: 300 * time.Millisecond}},
		{99 * time.Millisecond, Decision{Retry: time.Millisecond, Reset: 201 * time.Millisecond}},
		{time.Millisecond, Decision{OK: true, Remaining: 0, Reset: 300 * time.Millisecond}},
		{time.Hour, Decision{OK: true, Remaining: 2, Reset: 100 * time.Millisecond}},
	} {
		now += int64(step.after)
		peeked := table.peek(7, r, now)
		got := table.take(7, r, now)
		if got != step.want {
			t.Errorf("after %v: %+v, want %+v", step.after, got, step.want)
		}
		if peeked.OK != got.OK || peeked.Retry != got.Retry {
			t.Errorf("after %v: peek %+v, take %+v", step.after, peeked, got)
		}
	}
	if d := table.take(8, r, now); !d.OK || d.Remaining != 2 {
		t.Errorf("another key: %+v", d)
	}
}

// TestChangedRate: after a reload with another rate nobody waits longer than that one allows.
func TestChangedRate(t *testing.T) {
	table, slow, fast := NewTable(4), NewRate(1.0/3600, 100), NewRate(100, 10)
	for range 100 {
		if !table.take(1, slow, second).OK {
			t.Fatal("denied within the burst")
		}
	}
	if d := table.take(1, slow, second); d.OK || d.Retry != time.Hour {
		t.Errorf("%+v", d)
	}
	if d := table.take(1, fast, second); d.OK || d.Retry != 10*time.Millisecond {
		t.Errorf("%+v", d)
	}
}

// TestExtremeRates: nothing overflows.
func TestExtremeRates(t *testing.T) {
	for _, perSecond := range []float64{1.0 / 3600, 1, 1e6, math.MaxInt32, 1e12} {
		for _, burst := range []int{0, 1, 200, math.MaxInt32} {
			r, table := NewRate(perSecond, burst), NewTable(4)
			now := 100 * 365 * 24 * 3600 * second / 2
			d := table.take(1, r, now)
			if !d.OK || d.Remaining < 0 || d.Remaining > math.MaxInt32 || d.Reset <= 0 {
				t.Errorf("%g, %d: %+v", perSecond, burst, d)
			}
		}
	}
}

// TestForgets: a full table forgets the keys that have used the least.
func TestForgets(t *testing.T) {
	table, r := NewTable(ways), NewRate(1, 10)
	for range 11 {
		table.take(1, r, second)
	}
	for key := uint64(2); key < 1000; key++ {
		if !table.take(key, r, second).OK {
			t.Fatalf("key %d is denied", key)
		}
	}
	if table.take(1, r, second).OK {
		t.Error("the key over its limit was forgotten")
	}
}

// TestTenMillionKeys: the size of a table does not depend on the number of keys.
func TestTenMillionKeys(t *testing.T) {
	n := 10_000_000
	if testing.Short() || lbtest.Race { // the race detector makes it take minutes
		n /= 10
	}
	var before, after runtime.MemStats
	table, r := NewTable(DefaultEntries), NewRate(1, 2)
	runtime.GC()
	runtime.ReadMemStats(&before)
	var b [16]byte
	for i := range n {
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		table.Take(table.Key(0, b[:]), r)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 64<<10 {
		t.Errorf("%d keys have allocated %d bytes", n, grown)
	}
	if size := uintptr(table.Entries()) * unsafe.Sizeof(entry{}); size != 4<<20 {
		t.Errorf("the table has %d bytes", size)
	}
}

// TestConcurrent: of many events at once exactly a burst passes.
func TestConcurrent(t *testing.T) {
	table, r := NewTable(1024), NewRate(1.0/3600, 500)
	var passed [3]atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 3000 {
				if table.Take(uint64(1+i%3), r).OK {
					passed[i%3].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range passed {
		if got := passed[i].Load(); got != 500 {
			t.Errorf("key %d: %d events passed, want 500", i, got)
		}
	}
}

func TestKeys(t *testing.T) {
	table := NewTable(4)
	if first, again := table.Key(1, []byte("a")), table.Key(1, []byte("a")); first != again || first == table.Key(2, []byte("a")) {
		t.Error("kinds are not distinguished")
	}
}

func BenchmarkTake(b *testing.B) {
	table, r := NewTable(DefaultEntries), NewRate(1e6, 1000)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		var address [8]byte
		for i := uint64(0); p.Next(); i++ {
			binary.LittleEndian.PutUint64(address[:], i%10_000)
			table.Take(table.Key(1, address[:]), r)
		}
	})
}
