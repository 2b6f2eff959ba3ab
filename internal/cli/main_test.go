package cli

import (
	"context"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"lb/admin"
	"lb/internal/lbtest"
	"lb/pool"
	"lb/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "a-token-that-is-long-enough"

// serve runs an admin API on a loopback port until the test ends, and returns its address.
func serve(t *testing.T, o admin.Options) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, o, ln)
	return ln.Addr().String()
}

// serveOn returns a function that stops the API before the test ends.
func serveOn(t *testing.T, o admin.Options, ln net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	server := admin.New(o)
	go func() { ended <- server.Serve(ctx, ln) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err, _ := lbtest.Wait(t, "the end of Serve", ended); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// twoPools is a pool app with two backends, and one whose name and backend need escaping.
func twoPools() (func() []*pool.Pool, *telemetry.Registry) {
	registry := telemetry.NewRegistry()
	pools := []*pool.Pool{
		pool.New(pool.Options{Name: "app", Balance: "round_robin", Telemetry: registry, Members: []pool.Member{
			{Address: "127.0.0.1:5000", Weight: 1}, {Address: "127.0.0.1:5001", Weight: 3, Backup: true},
		}}),
		pool.New(pool.Options{Name: `odd "pool"/x`, Balance: "hash", Telemetry: registry, Members: []pool.Member{
			{Address: "unix:/run/app.sock"},
		}}),
	}
	return func() []*pool.Pool { return pools }, registry
}
