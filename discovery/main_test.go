package discovery

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"lb/internal/lbtest"
	"lb/pool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer collects log lines.
type logBuffer struct{ lbtest.Output }

func (l *logBuffer) lines() []string { return strings.Split(strings.TrimSpace(l.String()), "\n") }

// logger returns a logger of info and above with its lines.
func logger() (hclog.Logger, *logBuffer) {
	b := &logBuffer{}
	return hclog.New(&hclog.LoggerOptions{Output: b, Level: hclog.Info, DisableTime: true}), b
}

// words formats members in one line: the address, then what differs from the default.
func words(members []pool.Member) string {
	var out []string
	for _, m := range members {
		word := m.Address
		if m.Weight > 1 {
			word += fmt.Sprintf(" weight=%d", m.Weight)
		}
		if m.MaxConns > 0 {
			word += fmt.Sprintf(" max_conns=%d", m.MaxConns)
		}
		if m.Backup {
			word += " backup"
		}
		out = append(out, word)
	}
	return strings.Join(out, ", ")
}

// follow runs d until the test ends and returns its updates.
func follow(t *testing.T, d Discoverer) (updates <-chan string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	sets := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Run(ctx, func(members []pool.Member) {
			if !slices.IsSortedFunc(members, func(a, b pool.Member) int { return strings.Compare(a.Address, b.Address) }) {
				t.Errorf("not sorted: %s", words(members))
			}
			sets <- words(members)
		})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return sets, stop
}

// expect fails the test unless the next update is want.
func expect(t *testing.T, updates <-chan string, want string) {
	t.Helper()
	select {
	case got := <-updates:
		if got != want {
			t.Fatalf("update %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no update within 10s, want %q", want)
	}
}

// expectNone fails the test if there is an update.
func expectNone(t *testing.T, updates <-chan string) {
	t.Helper()
	select {
	case got := <-updates:
		t.Fatalf("update %q, want none", got)
	default:
	}
}

// listenOn listens on an address that may have been in use until recently.
func listenOn(t *testing.T, address string) net.Listener {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		ln, err := net.Listen("tcp", address)
		if err == nil {
			return ln
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
