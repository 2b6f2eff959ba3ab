package pool

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"lb/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conns replaces the transport's connections of a backend.
type conns struct {
	backend *Backend
	closed  atomic.Int32
	early   atomic.Bool // closed while a request was in flight
}

func (c *conns) Close() error {
	if c.backend.inFlight.Load() > 0 {
		c.early.Store(true)
	}
	c.closed.Add(1)
	return nil
}

func (c *conns) Counts() (active, idle int) { return int(c.backend.InFlight()), 7 }

func connect(b *Backend) Connections { return &conns{backend: b} }

// rotation is a picker that takes the backends in turn, as an algorithm other than the default.
type rotation struct {
	backends []*Backend
	next     atomic.Uint64
}

func rotate(backends []*Backend, _ uint64) Picker { return &rotation{backends: backends} }

func (r *rotation) Pick(uint64) *Backend {
	at := int(r.next.Add(1) - 1)
	for i := range r.backends {
		if b := r.backends[(at+i)%len(r.backends)]; b.Reserve() {
			return b
		}
	}
	return nil
}

// at returns members with these addresses.
func at(addresses ...string) []Member {
	var members []Member
	for _, a := range addresses {
		members = append(members, Member{Address: a})
	}
	return members
}

func addresses(backends []*Backend) string {
	var names []string
	for _, b := range backends {
		names = append(names, b.Address())
	}
	return strings.Join(names, " ")
}

// events records what a pool reports.
type events struct {
	mu    sync.Mutex
	lines []string
}

func (e *events) add(line string) {
	e.mu.Lock()
	e.lines = append(e.lines, line)
	e.mu.Unlock()
}

// take waits until the pool has reported everything, and returns the reports since the last call.
func (e *events) take() []string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	lines := e.lines
	e.lines = nil
	return lines
}

func (e *events) hook(o *Options) {
	o.OnJoin = func(b *Backend) { e.add("join " + b.Address()) }
	o.OnLeave = func(b *Backend) { e.add("leave " + b.Address()) }
	o.OnEvent = func(v Event) { e.add(strings.TrimSpace(v.Backend + " " + v.From + ">" + v.To + ": " + v.Reason)) }
}

// running calls test with a running pool in a synctest bubble.
func running(t *testing.T, o Options, test func(t *testing.T, p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := New(o)
		p.Start(ctx)
		defer p.Wait()
		defer cancel()
		test(t, p)
	})
}

func mustPick(t *testing.T, p *Pool, tried ...*Backend) *Backend {
	t.Helper()
	b, err := p.Pick(t.Context(), 0, tried)
	if err != nil {
		t.Fatalf("no backend: %v", err)
	}
	return b
}

func expectError(t *testing.T, p *Pool, want error) {
	t.Helper()
	if b, err := p.Pick(t.Context(), 0, nil); err != want {
		t.Errorf("picked %v, error %v, want %v", b, err, want)
	}
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant:\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func exposition(t *testing.T, r *telemetry.Registry) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.WritePrometheus(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
