package cli

import (
	"context"
	"math"
	"strconv"
	"time"

	"lb/admin"
	"lb/pool"
)

// Sample is the state of lb at one moment.
type Sample struct {
	Time   time.Time // when the responses had arrived
	Status admin.Status
	Pools  []pool.PoolStatus
}

// Sample requests lb's state as a whole and that of its pools.
func (c *Client) Sample(ctx context.Context) (*Sample, error) {
	var s Sample
	var err error
	if s.Status, err = c.Status(ctx); err != nil {
		return nil, err
	}
	if s.Pools, err = c.Pools(ctx); err != nil {
		return nil, err
	}
	s.Time = time.Now()
	return &s, nil
}

// rates are increases per second between two samples. The zero value has none.
type rates struct {
	seconds  float64
	totals   admin.Totals
	backends map[backendName]pool.BackendStatus
}

type backendName struct{ pool, address string }

// ratesSince compares with an earlier sample of the same process: after a restart all counts begin at zero.
func ratesSince(old, s *Sample) rates {
	if old == nil || !old.Status.Started.Equal(s.Status.Started) {
		return rates{}
	}
	r := rates{seconds: s.Time.Sub(old.Time).Seconds(), totals: old.Status.Totals, backends: map[backendName]pool.BackendStatus{}}
	for i := range old.Pools {
		for _, b := range old.Pools[i].Backends {
			r.backends[backendName{old.Pools[i].Name, b.Address}] = b
		}
	}
	return r
}

// of returns the increase of a count per second; NaN if it is not known. A count that decreased belongs to another
// backend of the same name, which was removed and added again.
func (r rates) of(old, now uint64) float64 {
	if r.seconds <= 0 || now < old {
		return math.NaN()
	}
	return float64(now-old) / r.seconds
}

// backend returns the requests and the errors per second of one backend.
func (r rates) backend(pool string, b *Backend) (requests, errors float64) {
	old, known := r.backends[backendName{pool, b.Address}]
	if !known {
		return math.NaN(), math.NaN()
	}
	return r.of(old.Requests, b.Requests), r.of(old.Errors, b.Errors)
}

func rateText(rate float64) string {
	switch {
	case math.IsNaN(rate):
		return "-"
	case rate == 0:
		return "0"
	case rate < 9.95:
		return strconv.FormatFloat(rate, 'f', 1, 64)
	}
	return strconv.FormatFloat(rate, 'f', 0, 64)
}
