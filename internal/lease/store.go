package lease

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	workers     = 2    // connections, each with one batch at a time
	maxBatch    = 256  // asks in a batch
	maxWaiting  = 1024 // asks that wait for their batch
	connectTime = time.Second
	// While Redis cannot be used it is tried again after leastPause, and later each time if it is lost again soon.
	leastPause = 250 * time.Millisecond
	mostPause  = 5 * time.Second
	steadyTime = 10 * time.Second // after which a loss is the first one again
	bufferSize = 32 << 10
)

// Options are those of a Store.
type Options struct {
	Address Address
	// Changed is called when Redis cannot be used any more, with the reason, and with nil when it can be used again. Never at the same time.
	Changed func(err error)
	// Asked is called after each round trip, with its time and its error. It may be called at the same time.
	Asked func(took time.Duration, err error)
}

// Store is a Redis that has limits.
type Store struct {
	options  Options
	client   atomic.Pointer[redis.Client]
	asks     chan *ask
	down     atomic.Bool
	lost     chan error    // the reason; has room for one
	patience time.Duration // of a round trip, and of a request that waits for one; tests have more
}

// ask is a request for tokens.
type ask struct {
	limit   *Limit
	client  Client
	outcome chan Outcome // has room for one; nil: nobody waits
}

// NewStore returns a store. Run must be called.
func NewStore(o Options) *Store {
	logging.Disable() // all that the client has to say is in its errors
	s := &Store{options: o, asks: make(chan *ask, maxWaiting), lost: make(chan error, 1), patience: patience}
	s.client.Store(newClient(o.Address))
	return s
}

// newClient returns a client without connections, which retries nothing by itself. One that has failed to connect as often as it may have
// connections would go on trying in the background; it is replaced before that.
func newClient(a Address) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: a.host, Username: a.user, Password: a.password, DB: a.database, TLSConfig: a.tlsConfig(),
		Protocol: 2, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, DialTimeout: connectTime, ReadTimeout: connectTime, WriteTimeout: connectTime,
		PoolSize: 16, PipelinePoolSize: 16, PoolTimeout: connectTime, PipelineReadBufferSize: bufferSize, PipelineWriteBufferSize: bufferSize,
	})
}

// Down reports whether Redis cannot be used at present.
func (s *Store) Down() bool { return s.down.Load() }

// send has an ask served. It returns false if it cannot be.
func (s *Store) send(a *ask) bool {
	if s.Down() {
		return false
	}
	select {
	case s.asks <- a:
		return true
	default:
		return false
	}
}

// Run serves until ctx ends.
func (s *Store) Run(ctx context.Context) {
	var running sync.WaitGroup
	for range workers {
		running.Go(func() { s.work(ctx) })
	}
	s.watch(ctx)
	s.down.Store(true) // so that nobody waits any more
	running.Wait()
	_ = s.client.Load().Close()
}

// watch tries Redis at the start, and whenever it was lost until it can be used again.
func (s *Store) watch(ctx context.Context) {
	if err := s.try(ctx); err != nil && ctx.Err() == nil {
		s.lose(err)
	}
	var pause time.Duration
	var since time.Time // when it could be used again
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-s.lost:
			s.options.Changed(explained(err))
		}
		if pause = min(2*pause, mostPause); time.Since(since) > steadyTime {
			pause = leastPause
		}
		for {
			if !sleep(ctx, pause) {
				return
			}
			_ = s.client.Swap(newClient(s.options.Address)).Close()
			if s.try(ctx) == nil {
				break
			}
		}
		since = time.Now()
		s.down.Store(false)
		s.options.Changed(nil)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// lose notes that Redis cannot be used.
func (s *Store) lose(err error) {
	if s.down.CompareAndSwap(false, true) {
		s.lost <- err
	}
}

// try does what an ask does, with more time to connect. It takes no token.
func (s *Store) try(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, connectTime)
	err := load(connecting, s.client.Load())
	cancel()
	if err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, s.patience)
	defer cancel()
	return evaluate(ctx, s.client.Load(), []wish{{key: prefix + "try", interval: 1, burst: 1}}, make([]given, 1))
}

// work serves asks in batches.
func (s *Store) work(ctx context.Context) {
	batch := make([]*ask, 0, maxBatch)
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-s.asks:
			batch = append(batch[:0], a)
		}
		for len(batch) < maxBatch && len(s.asks) > 0 {
			select {
			case a := <-s.asks:
				batch = append(batch, a)
			default:
			}
		}
		s.serve(ctx, batch)
		clear(batch)
	}
}

// group is the asks of a batch for one client.
type group struct {
	limit   *Limit
	client  *Client
	waiting []chan Outcome
	size    int   // of the lease
	since   int64 // when Redis was asked, by the clock of the table
}

// serve asks Redis for all of a batch.
func (s *Store) serve(ctx context.Context, batch []*ask) {
	groups := grouped(batch)
	wishes, results := make([]wish, len(groups)), make([]given, len(groups))
	for i, g := range groups {
		size, held := g.limit.table.next(g.client.Key, g.limit.most)
		g.size, g.since = size, g.limit.table.now()
		lease := size - held
		if len(g.waiting) > 0 {
			lease-- // one of those that wait
		}
		wishes[i] = wish{g.limit.name(g.client), g.limit.interval, g.limit.burst, len(g.waiting), max(0, lease)}
	}
	if s.Down() || s.ask(ctx, wishes, results) != nil {
		for _, g := range groups {
			g.respond(0, Unavailable)
		}
		return
	}
	for i, g := range groups {
		waiting := len(g.waiting)
		short := results[i].tokens < wishes[i].need+min(1, wishes[i].lease)
		g.limit.table.put(g.client.Key, g.since, g.size, max(0, results[i].tokens-waiting), short, results[i])
		g.respond(min(waiting, results[i].tokens), Denied)
	}
}

// ask asks Redis in one round trip.
func (s *Store) ask(ctx context.Context, wishes []wish, results []given) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := evaluate(ctx, s.client.Load(), wishes, results)
	s.options.Asked(time.Since(began), err)
	if err != nil {
		s.lose(err)
	}
	return err
}

// grouped puts the asks for the same client together, in their order.
func grouped(batch []*ask) (groups []*group) {
	type id struct {
		limit *Limit
		key   uint64
	}
	found := make(map[id]*group, len(batch))
	for _, a := range batch {
		g := found[id{a.limit, a.client.Key}]
		if g == nil {
			g = &group{limit: a.limit, client: &a.client}
			found[id{a.limit, a.client.Key}] = g
			groups = append(groups, g)
		}
		if a.outcome != nil {
			g.waiting = append(g.waiting, a.outcome)
		}
	}
	return groups
}

// respond gives the first of those that wait a token each, and the others the outcome.
func (g *group) respond(granted int, others Outcome) {
	for i, c := range g.waiting {
		if i < granted {
			c <- Granted
		} else {
			c <- others
		}
	}
}

// explained adds what an operator can do to an error of Redis. It contains no password.
func explained(err error) error {
	for _, e := range []struct{ prefix, remedy string }{
		{"NOAUTH", "the URL needs a password: redis://:PASSWORD@HOST"},
		{"WRONGPASS", "the user or the password in the URL is wrong"},
		{"NOPERM", "the user in the URL may not run EVALSHA, SCRIPT LOAD, GET, SET and TIME on keys that begin with " + prefix},
		{"READONLY", "it is a replica; name the primary"},
		{"MOVED", "it is a node of a Redis Cluster without the slot of these keys; name the node that has it"},
		{"LOADING", "it is reading its data from disk"},
		{"OOM", "its memory is full; raise maxmemory, or choose a maxmemory-policy that evicts"},
	} {
		if strings.Contains(err.Error(), e.prefix) {
			return fmt.Errorf("%w: %s", err, e.remedy)
		}
	}
	return err
}
