package health

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/pool"
)

func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" {
		serveForBenchmark()
		return
	}
	goleak.VerifyTestMain(m)
}

// flip is one call of SetActive.
type flip struct {
	backend *pool.Backend
	up      bool
	reason  string
	at      time.Time
}

// recorder is a Pool that records its calls.
type recorder struct {
	mu       sync.Mutex
	flips    []flip
	passed   int
	flaps    []string
	reported chan flip  // each flip; may be nil
	pool     *pool.Pool // gets the calls too; may be nil
}

func (r *recorder) SetActive(b *pool.Backend, up bool, reason string) {
	f := flip{b, up, reason, time.Now()}
	r.mu.Lock()
	r.flips = append(r.flips, f)
	r.mu.Unlock()
	if r.pool != nil {
		r.pool.SetActive(b, up, reason)
	}
	if r.reported != nil {
		r.reported <- f
	}
}

func (r *recorder) ProbePassed(*pool.Backend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed++
}

func (r *recorder) SetFlapping(_ *pool.Backend, flapping bool, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flaps = append(r.flaps, fmt.Sprint(flapping, ": ", reason))
}

func (r *recorder) all() []flip {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]flip(nil), r.flips...)
}

// await returns the next flip, and fails the test if there is none in time.
func (r *recorder) await(t *testing.T) flip {
	t.Helper()
	select {
	case f := <-r.reported:
		return f
	case <-time.After(10 * time.Second):
		t.Fatal("no flip within 10s")
		return flip{}
	}
}

func backend(address string) *pool.Backend { return pool.NewBackend(pool.Member{Address: address}) }

// dialTCP dials the backend's own address.
func dialTCP(ctx context.Context, b *pool.Backend) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", b.Address())
}
