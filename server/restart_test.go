package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// restarting is an application that can be stopped, so that it refuses connections, and restarted on the same port, which stays
// reserved meanwhile.
type restarting struct {
	t       testing.TB
	addr    string
	fd      int
	app     http.Handler
	server  *http.Server
	serving sync.WaitGroup
}

// restartable returns a stopped one.
func restartable(t testing.TB, app http.HandlerFunc) *restarting {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	addr := freeAddresses(t, 1)[0]
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	// A port that was bound by number stays bound when the socket no longer listens.
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}); err != nil {
		t.Fatal(err)
	}
	r := &restarting{t: t, fd: fd, app: app, addr: addr}
	t.Cleanup(r.stop)
	return r
}

func (r *restarting) start() {
	r.t.Helper()
	if err := syscall.Listen(r.fd, 512); err != nil {
		r.t.Fatal(err)
	}
	copied, err := syscall.Dup(r.fd)
	if err != nil {
		r.t.Fatal(err)
	}
	file := os.NewFile(uintptr(copied), r.addr)
	ln, err := net.FileListener(file)
	file.Close()
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = &http.Server{Handler: r.app}
	server := r.server
	r.serving.Go(func() { _ = server.Serve(ln) })
}

// stop makes it refuse connections, complete its requests, and end.
func (r *restarting) stop() {
	if r.server == nil {
		return
	}
	_ = syscall.Shutdown(r.fd, syscall.SHUT_RD) // the port stays bound
	_ = r.server.Shutdown(context.Background())
	r.serving.Wait()
	r.server = nil
}

// failure is a request without a 200.
type failure struct {
	method, what string
	begin, end   time.Time
}

// load has so many clients send requests until stop is called, which returns those that failed. Every third is a POST. Each client
// pauses after a response, so that a busy machine gets fewer requests.
func load(t testing.TB, address string, clients int) (stop func() (sent int, failed []failure)) {
	transport := &http.Transport{MaxIdleConns: clients, MaxIdleConnsPerHost: clients}
	client := &http.Client{Transport: transport}
	one := func(n int) (f failure, ok bool) {
		method, body := "GET", io.Reader(nil)
		if n%3 == 2 {
			method, body = "POST", strings.NewReader("abc")
		}
		f = failure{method: method, begin: time.Now()}
		request, _ := http.NewRequest(method, "http://"+address+"/", body)
		response, err := client.Do(request)
		if err == nil {
			f.what = response.Status
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		if err != nil {
			f.what = err.Error()
		}
		f.end = time.Now()
		return f, err == nil && response.StatusCode == 200
	}
	var mu sync.Mutex
	var failed []failure
	sent := 0
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			for n := c; ctx.Err() == nil; n++ {
				f, ok := one(n)
				mu.Lock()
				sent++
				if !ok {
					failed = append(failed, f)
				}
				mu.Unlock()
				select {
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		})
	}
	return func() (int, []failure) {
		cancel()
		group.Wait()
		transport.CloseIdleConnections()
		return sent, failed
	}
}

// TestRestartOfTheOnlyBackend: the only backend is restarted under load. Requests wait for it and none fails, except POSTs whose
// connection it closed after they were sent. The same with checks that find it down meanwhile.
func TestRestartOfTheOnlyBackend(t *testing.T) {
	const clients = 50
	for what, more := range map[string]string{
		"defaults": "", "sticky": "  sticky {}\n", "least_conn": "  balance = \"least_conn\"\n",
		"checks": "  health {\n    interval = \"50ms\"\n    fast_interval = \"50ms\"\n    fall = 1\n    rise = 20\n  }\n",
	} {
		app := restartable(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(5 * time.Millisecond)
			_, _ = io.WriteString(w, "x")
		})
		app.start()
		lb := start(t, proxyTo(more, app.addr))
		lbtest.Eventually(t, "a response", func() bool { return lb.get("/").Status() == 200 })
		for attempt := 1; ; attempt++ {
			stop := load(t, lb.addr(), clients)
			lbtest.Eventually(t, "load", func() bool { return lb.metric(`lb_requests_total{site="s",code="200"}`) > "5" })
			stopping := time.Now()
			app.stop()
			begin := time.Now()
			time.Sleep(500 * time.Millisecond)
			app.start()
			took := time.Since(begin)
			lbtest.Eventually(t, "nothing waits", func() bool { return lb.metric(`lb_queue_length{pool="app"}`) == "0" })
			sent, failed := stop()
			failed = slices.DeleteFunc(failed, func(f failure) bool {
				return f.method == "POST" && f.begin.Before(begin) && f.end.After(stopping)
			})
			if took > 700*time.Millisecond && attempt < 5 {
				continue // the machine is too busy for this to say anything
			}
			if len(failed) > 0 || sent < clients {
				t.Errorf("%s: of %d requests while it was down for %v: %v", what, sent, took, failed)
			}
			break
		}
		lb.stop()
		app.stop()
	}
}

// TestRestartOfABusyBackend: the only backend is restarted while it has more unaccepted connections than the retry budget has
// retries. The system resets them all, and each request waits for the new process.
func TestRestartOfABusyBackend(t *testing.T) {
	const requests = 40 // the budget has 10 at the start
	app := restartable(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x") })
	if err := syscall.Listen(app.fd, 512); err != nil {
		t.Fatal(err)
	}
	lb := start(t, proxyTo("  queue {\n    while_down = \"20s\"\n  }\n", app.addr))
	statuses := make(chan int, requests)
	for range requests {
		go func() { statuses <- lb.get("/").Status() }()
	}
	lbtest.Eventually(t, "connections", func() bool {
		return lb.metric(`lb_backend_connections_total{pool="app",backend="`+app.addr+`",result="opened"}`) == strconv.Itoa(requests)
	})
	_ = syscall.Shutdown(app.fd, syscall.SHUT_RD)
	lbtest.Eventually(t, "requests that wait", func() bool {
		return lb.metric(`lb_queue_length{pool="app"}`) == strconv.Itoa(requests) || len(statuses) > 0
	})
	app.start()
	for range requests {
		if status := <-statuses; status != 200 {
			t.Errorf("status %d", status)
		}
	}
}

// TestBusyBackendEnds: one of two backends ends while it has more unaccepted connections than the retry budget has retries. The
// other one serves their requests.
func TestBusyBackendEnds(t *testing.T) {
	const requests = 40 // the budget has 10 at the start
	app := restartable(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x") })
	if err := syscall.Listen(app.fd, 512); err != nil {
		t.Fatal(err)
	}
	other := lbtest.NewBackend(t, lbtest.Respond(lbtest.OK("x")))
	lb := start(t, proxyTo("", app.addr, other.Addr))
	statuses := make(chan int, 2*requests)
	for range 2 * requests {
		go func() { statuses <- lb.get("/").Status() }()
	}
	lbtest.Eventually(t, "connections", func() bool {
		return len(statuses) == requests && lb.metric(`lb_backend_connections_total{pool="app",backend="`+app.addr+`",result="opened"}`) == strconv.Itoa(requests)
	})
	_ = syscall.Shutdown(app.fd, syscall.SHUT_RD)
	for range 2 * requests {
		if status := <-statuses; status != 200 {
			t.Errorf("status %d", status)
		}
	}
}

// TestNoWaitAfterWhileDown: when the pool has been down for while_down, requests get 503 at once, and 200 again when a backend
// accepts.
func TestNoWaitAfterWhileDown(t *testing.T) {
	for what, more := range map[string]string{
		"defaults": "", "checks": "  health {\n    interval = \"20ms\"\n  }\n", "sticky": "  sticky {}\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			app := restartable(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "x") })
			lb := start(t, proxyTo(more+"  queue {\n    while_down = \"2s\"\n  }\n", app.addr, deadAddress(t)))
			begin := time.Now()
			if r := lb.get("/"); r.Status() != 503 || r.Field("Retry-After") == "" {
				t.Errorf("%d, Retry-After %q", r.Status(), r.Field("Retry-After"))
			}
			if waited := time.Since(begin); waited < time.Second {
				t.Errorf("the first waited %v", waited)
			}
			waits := lb.metric(`lb_queue_wait_seconds_count{pool="app"}`)
			for range 50 {
				if r := lb.get("/"); r.Status() != 503 {
					t.Errorf("%d", r.Status())
				}
			}
			if now := lb.metric(`lb_queue_wait_seconds_count{pool="app"}`); now != waits || now == "" {
				t.Errorf("%q requests waited, and %q after 50 more to a pool that is down", waits, now)
			}
			app.start()
			lbtest.Eventually(t, "200", func() bool { return lb.get("/").Status() == 200 })
		})
	}
}

// TestNoWaitForTheAdministrator: requests do not wait for backends that an administrator has taken out.
func TestNoWaitForTheAdministrator(t *testing.T) {
	addresses, _ := named(t, 2)
	for _, state := range []string{"drain", "maint"} {
		lb := start(t, proxyTo("  queue {\n    timeout    = \"1h\"\n    while_down = \"1h\"\n  }\n", addresses...))
		for _, a := range addresses {
			if status := lb.put("/api/v1/pools/app/backends/"+a, `{"admin":"`+state+`"}`); status != 200 {
				t.Fatal(status)
			}
		}
		if r := lb.get("/"); r.Status() != 503 {
			t.Errorf("%s: %d", state, r.Status())
		}
		lb.stop()
	}
}

// TestWaitersOfADownPool: queue.limit bounds the waiting requests. A disconnected client's request leaves the queue. The others
// proceed when a backend accepts, at most max_conns at a time.
func TestWaitersOfADownPool(t *testing.T) {
	var now, most, served atomic.Int64
	app := restartable(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		served.Add(1)
		_, _ = io.WriteString(w, "x")
	})
	text := proxyTo("  queue {\n    limit      = 30\n    timeout    = \"1h\"\n    while_down = \"1h\"\n  }\n", app.addr)
	lb := start(t, strings.Replace(text, "\" {}", "\" {\n    max_conns = 4\n  }", 1))
	var clients []*lbtest.Conn
	for i := range 30 {
		c := lb.dial()
		c.Send([]string{getRequest, postRequest}[i%2])
		clients = append(clients, c)
	}
	lb.wantMetric(`lb_queue_length{pool="app"}`, "30")
	if r := lb.get("/"); r.Status() != 503 || r.Field("Retry-After") == "" {
		t.Errorf("over the limit: %d", r.Status())
	}
	clients[0].Close()
	lb.wantMetric(`lb_queue_length{pool="app"}`, "29")
	app.start()
	for i, c := range clients[1:] {
		if r := c.ReadResponse("GET"); r.Status() != 200 {
			t.Errorf("client %d: %d %v", i+1, r.Status(), r.Err)
		}
	}
	if served.Load() != 29 || most.Load() > 4 {
		t.Errorf("%d served, %d at a time", served.Load(), most.Load())
	}
}
