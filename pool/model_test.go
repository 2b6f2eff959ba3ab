package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// model drives a pool at random, one step at a time, and knows what must be true after each.
type model struct {
	t    *testing.T
	pool *Pool
	rand *rand.Rand

	results chan result
	waiting map[int]*request // by number; numbers are in order of arrival
	held    []*Backend
	next    int
}

type request struct {
	cancel    context.CancelFunc
	cancelled bool
	arrived   time.Time
	tried     []*Backend
	own       *Backend // of a sticky client; nil: any
}

type result struct {
	number  int
	backend *Backend
	err     error
}

func newModel(t *testing.T, p *Pool, seed int64) *model {
	return &model{
		t: t, pool: p, rand: rand.New(rand.NewPCG(uint64(seed), 1)),
		results: make(chan result, 1000), waiting: map[int]*request{},
	}
}

func (m *model) step() {
	switch n := m.rand.IntN(100); {
	case n < 45:
		m.arrive()
	case n < 72:
		m.release()
	case n < 75:
		m.report()
	case n < 82:
		for _, r := range m.waiting { // any
			r.cancelled = true
			r.cancel()
			break
		}
	case n < 90:
		b := m.pool.Backends()[m.rand.IntN(3)]
		m.pool.SetActive(b, m.rand.IntN(3) > 0, "step")
	case n < 94:
		b := m.pool.Backends()[m.rand.IntN(3)]
		m.pool.SetAdmin(b, Admin(m.rand.IntN(3)), "step")
	default:
		time.Sleep(time.Duration(m.rand.IntN(15)) * time.Millisecond)
	}
}

func (m *model) arrive() {
	ctx, cancel := context.WithCancel(context.Background())
	r := &request{cancel: cancel, arrived: time.Now()}
	sticky := m.pool.options.Sticky != nil
	if sticky && m.rand.IntN(2) == 0 {
		r.own = m.pool.Backends()[m.rand.IntN(3)]
	} else if m.rand.IntN(4) == 0 {
		r.tried = []*Backend{m.pool.Backends()[m.rand.IntN(3)]}
	}
	number := m.next
	m.next++
	m.waiting[number] = r
	go func() {
		if r.own != nil {
			b, err := m.pool.PickSticky(ctx, []byte(r.own.Address()), 0)
			m.results <- result{number, b, err}
			return
		}
		b, err := m.pool.Pick(ctx, 0, r.tried)
		m.results <- result{number, b, err}
	}()
}

// report reports on the backend of a running request.
func (m *model) report() {
	if len(m.held) > 0 {
		outcome := Outcome(Success)
		if m.rand.IntN(4) > 0 {
			outcome = Reset
		}
		m.held[m.rand.IntN(len(m.held))].Report(outcome)
	}
}

func (m *model) release() {
	if len(m.held) == 0 {
		return
	}
	i := m.rand.IntN(len(m.held))
	m.held[i].Release()
	m.held = append(m.held[:i], m.held[i+1:]...)
}

// collect takes the results that have come, and checks each.
func (m *model) collect() {
	for {
		select {
		case r := <-m.results:
			q := m.waiting[r.number]
			delete(m.waiting, r.number)
			q.cancel()
			waited := time.Since(q.arrived)
			switch {
			case r.err == nil:
				m.held = append(m.held, r.backend)
			case errors.Is(r.err, context.Canceled):
				if !q.cancelled {
					m.t.Errorf("request %d was not cancelled", r.number)
				}
			case r.err == ErrQueueTimeout:
				if waited < m.pool.options.QueueTimeout {
					m.t.Errorf("request %d timed out after %v", r.number, waited)
				}
			case r.err == ErrQueueFull:
				if least := m.pool.options.QueueLimit; q.own == nil && len(m.waiting) < least || len(m.waiting) < least/len(m.pool.Backends()) {
					m.t.Errorf("the queue was full with %d waiting", len(m.waiting))
				}
			case r.err == ErrNoBackend:
				if len(m.pool.snapshot.Load().usable) != 0 {
					m.t.Errorf("request %d: %v, but there is one", r.number, r.err)
				}
			default:
				m.t.Errorf("request %d: %v", r.number, r.err)
			}
		default:
			return
		}
	}
}

func (m *model) check() {
	m.t.Helper()
	m.collect()
	held := map[*Backend]int64{}
	for _, b := range m.held {
		held[b]++
	}
	for _, b := range m.pool.Backends() {
		if b.InFlight() != held[b] || held[b] > int64(b.MaxConns()) {
			m.t.Errorf("%s counts %d in flight, %d hold it, limit %d", b.Address(), b.InFlight(), held[b], b.MaxConns())
		}
	}
	m.pool.queue.mu.Lock()
	listed := m.pool.queue.list.Len()
	for own, list := range m.pool.queue.owned {
		listed += list.Len()
		if list.Len() > m.pool.options.QueueLimit/len(m.pool.Backends()) {
			m.t.Errorf("%d wait for %s alone", list.Len(), own.Address())
		}
	}
	rationed := m.pool.queue.ration.spent()
	m.pool.queue.mu.Unlock()
	if n := m.pool.queue.waiting.Load(); int(n) != len(m.waiting) || int(n) != listed {
		m.t.Errorf("the queue counts %d, %d wait", n, len(m.waiting))
	}
	s := m.pool.snapshot.Load()
	if rationed {
		return // they are let in by and by
	}
	for number, r := range m.waiting {
		if r.own != nil && r.own.returning() {
			if r.own.hasRoom() {
				m.t.Errorf("request %d waits while its own backend %s has room: a lost wake-up", number, r.own.Address())
			}
			if r.own.awaited() {
				continue
			}
		}
		if len(s.usable) == 0 && !time.Now().Before(s.downUntil) {
			m.t.Errorf("request %d waits though no backend is usable", number)
		}
		for _, b := range s.mayHave(r.tried) {
			if b.hasRoom() {
				m.t.Errorf("request %d waits while %s has room: a lost wake-up", number, b.Address())
			}
		}
	}
}

// mayHave returns the backends that a request with those in tried may get.
func (s *snapshot) mayHave(tried []*Backend) []*Backend {
	if len(tried) == 0 {
		return s.usable
	}
	var untried []*Backend
	for _, b := range slices.Concat(s.usable, s.spare) {
		if !contains(tried, b) && (b.hasRoom() || b.limit.Load() != onTrial) {
			untried = append(untried, b)
		}
	}
	if len(untried) == 0 {
		return s.usable
	}
	return untried
}

// finish ends all requests and checks that nothing is left.
func (m *model) finish() {
	for _, b := range m.pool.Backends() {
		m.pool.SetAdmin(b, Ready, "finish")
		m.pool.SetActive(b, true, "finish")
	}
	for synctest.Wait(); ; synctest.Wait() {
		m.check()
		if len(m.held) == 0 {
			break
		}
		m.release()
	}
	if len(m.waiting) != 0 {
		m.t.Errorf("%d requests never ended", len(m.waiting))
	}
}
