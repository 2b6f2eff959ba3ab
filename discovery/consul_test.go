package discovery

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// agent is a Consul agent that implements the documented blocking queries: one with an index waits until the service's index is
// larger.
type agent struct {
	*httptest.Server

	mu       sync.Mutex
	changed  chan struct{} // closed at each change
	index    uint64
	header   string // instead of the index; "none": no such header
	list     string
	status   int    // 0: 200
	filtered bool   // by the rules of access
	policy   string // without rules; empty: not sent
	spurious bool   // responds at once, with or without changes
	asked    []string
	at       []time.Time
}

func startAgent(t *testing.T, list string) *agent {
	t.Helper()
	a := &agent{changed: make(chan struct{}), index: 7, list: list}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	timeout := time.After(wait)
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.String()+" "+r.Header.Get("X-Consul-Token"))
	a.at = append(a.at, time.Now())
	for timedOut := false; a.status == 0 && !a.spurious && asked > 0 && asked == a.index && !timedOut; {
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
		case <-timeout:
			timedOut = true
		case <-r.Context().Done():
			return
		}
		a.mu.Lock()
	}
	defer a.mu.Unlock()
	switch header := a.header; header {
	case "none":
	case "":
		w.Header().Set("X-Consul-Index", strconv.FormatUint(a.index, 10))
	default:
		w.Header().Set("X-Consul-Index", header)
	}
	if a.filtered {
		w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
	}
	if a.policy != "" {
		w.Header().Set("X-Consul-Default-ACL-Policy", a.policy)
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.list)
}

// set changes the agent's list and ends the queries that block.
func (a *agent) set(f func(a *agent)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(a)
	close(a.changed)
	a.changed = make(chan struct{})
}

// news changes the list.
func (a *agent) news(entries ...string) {
	a.set(func(a *agent) { a.index++; a.list = listOf(entries...) })
}

// queries waits for n queries, and returns them.
func (a *agent) queries(t *testing.T, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		asked := slices.Clone(a.asked)
		a.mu.Unlock()
		if len(asked) >= n {
			return asked
		}
		if time.Now().After(deadline) {
			t.Fatalf("queries %q, want %d", asked, n)
		}
	}
}

// discover follows the agent, with less patience than a real one is given.
func (a *agent) discover(t *testing.T) (updates <-chan string, stop func(), lines *logBuffer) {
	return a.discoverEach(t, 20*time.Millisecond)
}

func (a *agent) discoverEach(t *testing.T, gap time.Duration) (updates <-chan string, stop func(), lines *logBuffer) {
	log, lines := logger()
	d := NewConsul(ConsulOptions{Service: "my app", Address: strings.TrimPrefix(a.URL, "http://"), Tag: "blue", Token: "secret", Log: log})
	d.pace.interval = gap
	updates, stop = follow(t, d)
	return updates, stop, lines
}

// entry is an instance as Consul lists it.
func entry(node, address string, port, weight int) string {
	return fmt.Sprintf(`{"Node":{"Node":"n","Address":%q},"Service":{"ID":"app-%d","Service":"app","Tags":["blue"],"Address":%q,"Port":%d,"Weights":{"Passing":%d,"Warning":1}},"Checks":[]}`,
		node, port, address, port, weight)
}

func TestConsulFollowsTheService(t *testing.T) {
	a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, 1), entry("10.0.0.1", "10.1.0.2", 5001, 10), entry("10.0.0.1", "app.internal", 5002, 1), entry("::1", "", 5003, 1)))
	updates, stop, lines := a.discover(t)
	expect(t, updates, "10.0.0.1:5000, 10.1.0.2:5001 weight=10, [::1]:5003, app.internal:5002")
	a.queries(t, 2) // the second waits
	a.news(entry("10.0.0.1", "", 5000, 3))
	expect(t, updates, "10.0.0.1:5000 weight=3")
	a.news()
	expect(t, updates, "") // no instance passes, which is a valid result
	asked := a.queries(t, 4)
	stop()
	want := []string{
		"/v1/health/service/my%20app?passing=1&tag=blue secret",
		"/v1/health/service/my%20app?index=7&passing=1&tag=blue&wait=60s secret",
		"/v1/health/service/my%20app?index=8&passing=1&tag=blue&wait=60s secret",
		"/v1/health/service/my%20app?index=9&passing=1&tag=blue&wait=60s secret",
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if got := lines.lines(); got[0] != "" {
		t.Errorf("log %q, want none", got)
	}
}

// TestConsulForgetsAnIndexThatGoesBackwards: the next query does not block.
func TestConsulForgetsAnIndexThatGoesBackwards(t *testing.T) {
	a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, 1)))
	updates, stop, _ := a.discover(t)
	expect(t, updates, "10.0.0.1:5000")
	a.queries(t, 2)
	a.set(func(a *agent) { a.index = 3; a.list = listOf(entry("10.0.0.1", "", 5001, 1)) })
	expect(t, updates, "10.0.0.1:5001")
	asked := a.queries(t, 4)
	stop()
	if strings.Contains(asked[2], "index") || !strings.Contains(asked[3], "index=3&") {
		t.Errorf("asked %q, want the third without an index and the fourth with 3", asked)
	}
}

func TestNextIndex(t *testing.T) {
	for _, c := range [][3]uint64{{0, 0, 1}, {0, 5, 5}, {5, 5, 5}, {5, 6, 6}, {5, 4, 0}, {5, 0, 0}, {1, 0, 0}} {
		if got := nextIndex(c[0], c[1]); got != c[2] {
			t.Errorf("after %d and %d: %d, want %d", c[0], c[1], got, c[2])
		}
	}
}

// TestConsulNeverSpins: an agent that always responds at once is not queried all the time.
func TestConsulNeverSpins(t *testing.T) {
	a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, 1)))
	a.set(func(a *agent) { a.spurious = true })
	updates, stop, _ := a.discoverEach(t, consulGap)
	expect(t, updates, "10.0.0.1:5000")
	a.queries(t, 4)
	stop()
	expectNone(t, updates)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.at[1:] {
		if gap := a.at[i+1].Sub(a.at[i]); gap < consulGap-50*time.Millisecond { // the agent may receive them a little closer together
			t.Errorf("asked again after %v", gap)
		}
	}
}

// TestConsulKeepsTheLastSet: after any wrong response, the known instances are kept, it is logged once, and the first
// valid response is used again.
func TestConsulKeepsTheLastSet(t *testing.T) {
	cases := []struct {
		name   string
		breaks func(a *agent)
		cause  string
	}{
		{"500", func(a *agent) { a.status, a.list = 500, "No cluster leader" }, `returned 500: "No cluster leader"`},
		{"403", func(a *agent) { a.status, a.list = 403, "ACL not found" }, "give a token with service:read"},
		{"filtered", func(a *agent) { a.filtered, a.list = true, "[]" }, "the token may not see its instances"},
		{"redirect", func(a *agent) { a.status = 302 }, "returned 302"},
		{"garbage", func(a *agent) { a.list = "<html>" }, "does not match its documented API"},
		{"cut off", func(a *agent) { a.list = `[{"Node":` }, "does not match its documented API"},
		{"another type", func(a *agent) { a.list = `{}` }, "does not match its documented API"},
		{"too large", func(a *agent) { a.list = `["` + strings.Repeat("x", maxResponse) + `"]` }, "larger than 8 MiB"},
		{"no index", func(a *agent) { a.header = "none" }, "sent no valid X-Consul-Index"},
		{"a bad index", func(a *agent) { a.header = "-1" }, "sent no valid X-Consul-Index"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, 1)))
			updates, stop, lines := a.discover(t)
			expect(t, updates, "10.0.0.1:5000")
			a.queries(t, 2)
			a.set(func(a *agent) { a.index++; c.breaks(a) })
			a.queries(t, 4)
			expectNone(t, updates)
			a.set(func(a *agent) {
				a.status, a.header, a.filtered, a.list = 0, "", false, listOf(entry("10.0.0.1", "", 5009, 1))
			})
			expect(t, updates, "10.0.0.1:5009")
			got := awaitLines(t, lines, 2)
			stop()
			if len(got) != 2 || !strings.Contains(got[0], c.cause) || !strings.Contains(got[0], "keeping the last known set") ||
				!strings.Contains(got[1], "reports the service again") || strings.Contains(strings.Join(got, ""), "secret") {
				t.Errorf("log %.2000q, want the trouble once and its end once", got)
			}
		})
	}
}

// TestConsulWithoutToken: without a token, an agent that denies by default does not report that it hides something, as version
// 1.14.5 does not. With a token, its report is used.
func TestConsulWithoutToken(t *testing.T) {
	for _, c := range []struct {
		token, policy, want string
	}{
		{"", "deny", "keeps"},
		{"", "allow", ""},
		{"secret", "deny", ""},
	} {
		a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, 1)))
		a.set(func(a *agent) { a.policy = c.policy })
		log, lines := logger()
		d := NewConsul(ConsulOptions{Service: "app", Address: strings.TrimPrefix(a.URL, "http://"), Token: c.token, Log: log})
		d.pace.interval = 20 * time.Millisecond
		updates, stop := follow(t, d)
		expect(t, updates, "10.0.0.1:5000")
		a.queries(t, 2)
		a.news()
		if c.want == "" {
			expect(t, updates, "")
		} else {
			awaitLines(t, lines, 1)
			expectNone(t, updates)
		}
		stop()
		if got := strings.Join(lines.lines(), "\n"); (c.want != "") != strings.Contains(got, "Consul shows no instance without a token; give one with service:read") {
			t.Errorf("token %q, policy %s: log %q", c.token, c.policy, got)
		}
	}
}

// TestConsulSkipsBadEntries: entries that cannot be backends are skipped and logged once.
func TestConsulSkipsBadEntries(t *testing.T) {
	a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, -4), entry("10.0.0.1", "10.0.0.1", 5000, 9), entry("", "", 5001, 1),
		entry("10.0.0.1", "", 0, 1), entry("10.0.0.1", "", 70000, 1), entry("10.0.0.1", "evil.example/x", 80, 1),
		entry("10.0.0.1", "unix:/run/x", 81, 1), entry("10.0.0.1", "0.0.0.0", 82, 1), "{}", entry("10.0.0.1", "", 83, 1<<40)))
	updates, stop, lines := a.discover(t)
	expect(t, updates, "10.0.0.1:5000, 10.0.0.1:83 weight=65535")
	a.queries(t, 2)
	a.set(func(a *agent) { a.index++ })
	a.queries(t, 3)
	stop()
	if got := lines.lines(); len(got) != 7 {
		t.Errorf("log %q, want a line for each of the seven", got)
	}
}

// TestConsulAgentRestarts: the last set is kept while the agent is down, and the agent is used again after its restart.
func TestConsulAgentRestarts(t *testing.T) {
	a := startAgent(t, listOf(entry("10.0.0.1", "", 5000, 1)))
	address := a.Listener.Addr().String()
	updates, stop, lines := a.discover(t)
	expect(t, updates, "10.0.0.1:5000")
	a.queries(t, 2)
	_ = a.Listener.Close() // first, since the client retries at once
	a.CloseClientConnections()
	a.Close()
	awaitLines(t, lines, 1)
	again := &agent{changed: make(chan struct{}), index: 1, list: listOf(entry("10.0.0.1", "", 5001, 1))}
	ln := listenOn(t, address)
	again.Server = httptest.NewUnstartedServer(again)
	_ = again.Listener.Close()
	again.Listener = ln
	again.Start()
	t.Cleanup(again.Close)
	expect(t, updates, "10.0.0.1:5001")
	stop()
	if asked := again.queries(t, 1); strings.Contains(asked[0], "index") {
		t.Errorf("asked the new agent with the old one's index: %s", asked[0])
	}
	expectNone(t, updates)
}

// TestConsulBoundsItsMembers: of too many instances the first ones are used.
func TestConsulBoundsItsMembers(t *testing.T) {
	entries := make([]string, maxMembers+5)
	for i := range entries {
		entries[i] = entry("10.0.0.1", "", i+1, 1)
	}
	a := startAgent(t, listOf(entries...))
	updates, stop, lines := a.discover(t)
	select {
	case got := <-updates:
		if n := strings.Count(got, ",") + 1; n != maxMembers {
			t.Errorf("%d members, want %d", n, maxMembers)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no update within 20s")
	}
	stop()
	if got := awaitLines(t, lines, 1); len(got) != 1 || !strings.Contains(got[0], "too many backends") {
		t.Errorf("log %q", got)
	}
}
