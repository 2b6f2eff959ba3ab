package health

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"lb/pool"
)

// keeping dials one backend, whose connections respond to each probe, and refuses others. It works in fake time.
type keeping struct {
	mu       sync.Mutex
	refuses  bool
	served   []int // probes that each connection has served
	closings []int // of those, the ones with Connection: close
	open     int
	random   float64
	respond  func(conn net.Conn, number, n int) (last bool) // the n-th on that connection
}

func (k *keeping) dial(_ context.Context, b *pool.Backend) (net.Conn, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuses || b.Address() != "a:1" {
		return nil, syscall.ECONNREFUSED
	}
	client, server := net.Pipe()
	number := len(k.served)
	k.served, k.closings, k.open = append(k.served, 0), append(k.closings, 0), k.open+1
	go k.serve(server, number)
	return client, nil
}

func (k *keeping) serve(conn net.Conn, number int) {
	defer func() {
		conn.Close()
		k.mu.Lock()
		k.open--
		k.mu.Unlock()
	}()
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		k.mu.Lock()
		k.served[number]++
		n := k.served[number]
		if request.Close {
			k.closings[number]++
		}
		k.mu.Unlock()
		if last := k.respond(conn, number, n); last || request.Close {
			return
		}
	}
}

func ok(conn net.Conn, _, _ int) (last bool) {
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	return false
}

// probeMany probes the backend and so many that refuse, for so long, and returns the connections that were served.
func probeMany(t *testing.T, k *keeping, refusing int, during time.Duration) (served, closings []int, r *recorder) {
	return probeManyBy(t, Config{}, k, refusing, during)
}

func probeManyBy(t *testing.T, config Config, k *keeping, refusing int, during time.Duration) (served, closings []int, r *recorder) {
	r = &recorder{}
	checker := New(Options{Config: config, Pool: r, Dial: k.dial, Random: func() float64 { return k.random }})
	b := backend("a:1")
	for i := range refusing {
		checker.Join(backend("b:" + strconv.Itoa(i+1)))
	}
	checker.Join(b)
	checker.Start(t.Context())
	time.Sleep(during)
	synctest.Wait()
	checker.Leave(b)
	synctest.Wait()
	checker.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open != 0 {
		t.Errorf("%d connections are open after the backend left", k.open)
	}
	return k.served, k.closings, r
}

// flipsOf are the flips of the backend that does not refuse.
func flipsOf(r *recorder) (flips []flip) {
	for _, f := range r.all() {
		if f.backend.Address() == "a:1" {
			flips = append(flips, f)
		}
	}
	return flips
}

// TestManyBackendsShareConnections: from keepFrom backends on, a connection serves maxUses probes; below that each
// probe has its own.
func TestManyBackendsShareConnections(t *testing.T) {
	for _, c := range []struct {
		refusing         int
		random           float64
		served, closings []int
	}{
		{keepFrom - 1, 0, []int{10, 10, 1}, []int{1, 1, 0}},
		{keepFrom - 1, 0.5, []int{5, 10, 6}, []int{1, 1, 0}}, // the first connection
		{keepFrom - 2, 0, slices.Repeat([]int{1}, 21), slices.Repeat([]int{1}, 21)},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := &keeping{respond: ok, random: c.random}
			served, closings, r := probeMany(t, k, c.refusing, 41*time.Second)
			if !slices.Equal(served, c.served) || !slices.Equal(closings, c.closings) {
				t.Errorf("%d backends: connections served %v probes and closed after %v, want %v and %v",
					c.refusing+1, served, closings, c.served, c.closings)
			}
			if flips := flipsOf(r); len(flips) != 1 || !flips[0].up {
				t.Errorf("flips %v, want up alone", flips)
			}
		})
	}
}

// TestKeptConnectionThatEnds: a backend may close a kept connection at any time; only a new connection shows whether
// it works.
func TestKeptConnectionThatEnds(t *testing.T) {
	responders := map[string]func(net.Conn, int, int) bool{
		"after the response": func(conn net.Conn, c, n int) bool { return ok(conn, c, n) || n == 2 },
		"instead of the response": func(conn net.Conn, c, n int) bool {
			return n == 2 || ok(conn, c, n)
		},
		"announced": func(conn net.Conn, _, _ int) bool {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			return true
		},
		"with more after the response": func(conn net.Conn, c, n int) bool {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!")
			return false
		},
	}
	for name, respond := range responders {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				served, _, r := probeMany(t, &keeping{respond: respond}, keepFrom, 21*time.Second)
				for _, n := range served {
					if n > 2 {
						t.Errorf("a connection served %d probes", n)
					}
				}
				if flips := flipsOf(r); len(flips) != 1 || !flips[0].up {
					t.Errorf("flips %v, want up alone", flips)
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.passed != 11 {
					t.Errorf("%d probes passed, want all 11", r.passed)
				}
			})
		})
	}
}

// TestStoppedAccepting: a backend that refuses new connections but responds on open ones goes down after the probes
// that share a connection and the usual failures.
func TestStoppedAccepting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeping{respond: ok}
		go func() {
			time.Sleep(time.Second)
			k.mu.Lock()
			k.refuses = true
			k.mu.Unlock()
		}()
		served, _, r := probeMany(t, k, keepFrom, 25*time.Second)
		if !slices.Equal(served, []int{maxUses}) {
			t.Errorf("connections served %v probes, want one that served %d", served, maxUses)
		}
		flips := flipsOf(r)
		if len(flips) != 2 || flips[1].up || flips[1].reason != "connection refused" {
			t.Fatalf("flips %v, want up, then down", flips)
		}
		if after := flips[1].at.Sub(flips[0].at); after != 21*time.Second { // 10 probes, 3 failures
			t.Errorf("down after %v, want 21s", after)
		}
	})
}

// TestNewConnectionAfterFailure: after a failure on a shared connection the next probe has its own.
func TestNewConnectionAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeping{respond: func(conn net.Conn, c, n int) bool {
			if c == 0 && n == 2 {
				_, _ = io.WriteString(conn, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
				return false
			}
			return ok(conn, c, n)
		}}
		served, _, r := probeMany(t, k, keepFrom, 3*time.Second)
		if !slices.Equal(served, []int{2, 1}) {
			t.Errorf("connections served %v probes, want 2 and 1", served)
		}
		if flips := flipsOf(r); len(flips) != 1 {
			t.Errorf("flips %v, want one", flips)
		}
	})
}

// TestLateBytesAreNoResult: a backend that sends a body where none is allowed, and late, does not change the result
// of the next probe.
func TestLateBytesAreNoResult(t *testing.T) {
	for _, tc := range []struct {
		name, method, head string
		uses               int // of a connection
	}{
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", 1},
		{"HEAD in chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1},
		{"HEAD of nothing", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", maxUses},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 1},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &keeping{respond: func(conn net.Conn, _, _ int) bool {
					_, _ = io.WriteString(conn, tc.head)
					if tc.uses == 1 {
						time.Sleep(50 * time.Millisecond)
						_, _ = io.WriteString(conn, "HTTP/1.1 503 Foreign\r\nContent-Length: 0\r\n\r\n")
					}
					return false
				}}
				served, _, r := probeManyBy(t, Config{Method: tc.method}, k, keepFrom, 21*time.Second)
				if most := slices.Max(served); most != tc.uses {
					t.Errorf("a connection served %d probes, want %d", most, tc.uses)
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.passed != 11 {
					t.Errorf("%d probes passed, want all 11", r.passed)
				}
			})
		})
	}
}
