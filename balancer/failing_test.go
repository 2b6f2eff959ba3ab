package balancer

import (
	"testing"
	"time"

	"lb/pool"
)

// TestFailingFastIsNotPreferred: a backend whose requests fail at once has none in flight. Algorithms that use the load must not
// send it more because of that, and must try it again in time.
func TestFailingFastIsNotPreferred(t *testing.T) {
	for _, name := range []string{"least_conn", "p2c", "peak_ewma"} {
		var now int64
		var backends []*pool.Backend
		for _, address := range []string{"bad", "b", "c", "d"} {
			backends = append(backends, pool.NewBackendWith(pool.Member{Address: address}, func() int64 { return now }))
		}
		bad := backends[0]
		p := picker(t, name, backends)
		const requests, each, takes = 20_000, int64(time.Millisecond), 20 // a second has 1,000, of which 20 are in flight
		failed := 0
		var flying []*pool.Backend
		for range requests {
			now += each
			if len(flying) == takes {
				flying[0].Settle(0, 0)
				flying[0].Report(pool.Success)
				flying[0].Release()
				flying = flying[1:]
			}
			b := p.Pick(0)
			wait := b.Await()
			if b == bad {
				failed++
				b.Settle(wait, 0)
				b.Report(pool.Status)
				b.Release()
				continue
			}
			b.Settle(wait, takes*time.Duration(each))
			flying = append(flying, b)
		}
		if failed > requests/20 || failed == 0 {
			t.Errorf("%s: %d of %d requests went to the one of four that fails at once", name, failed, requests)
		}
	}
}
