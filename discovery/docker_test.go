package discovery

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// engine is a Docker engine with the parts of its API that discovery uses, on a Unix socket.
type engine struct {
	socket string

	mu      sync.Mutex
	list    string // the response to GET /containers/json
	status  int    // of each response; 0: 200
	lists   int
	streams int
	stream  chan string // lines for the stream that is open; "" ends it
	asked   []string
	server  *http.Server
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{socket: filepath.Join(t.TempDir(), "docker.sock"), list: "[]", stream: make(chan string)}
	e.serve(t)
	return e
}

// serve starts listening, end stops it.
func (e *engine) serve(t *testing.T) (end func()) {
	t.Helper()
	ln, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: e}
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(ln) })
	end = sync.OnceFunc(func() { _ = server.Close(); running.Wait() })
	t.Cleanup(end)
	e.set(func(e *engine) { e.server = server })
	return end
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	status, list := e.status, e.list
	e.asked = append(e.asked, r.URL.Path+" "+r.URL.Query().Get("filters"))
	if r.URL.Path == "/events" {
		e.streams++
	} else {
		e.lists++
	}
	e.mu.Unlock()
	switch {
	case status != 0:
		http.Error(w, `{"message":"scripted"}`, status)
	case r.URL.Path == "/containers/json":
		_, _ = io.WriteString(w, list)
	case r.URL.Path == "/events" && r.URL.Query().Get("since") != "":
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case line := <-e.stream:
				if line == "" {
					return
				}
				_, _ = io.WriteString(w, line)
				w.(http.Flusher).Flush()
			}
		}
	default:
		http.NotFound(w, r)
	}
}

func (e *engine) set(f func(e *engine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

// send puts a line on the stream of events, waiting until there is one.
func (e *engine) send(t *testing.T, line string) {
	t.Helper()
	select {
	case e.stream <- line:
	case <-time.After(20 * time.Second):
		t.Fatal("the events are not read")
	}
}

// await waits until the engine has received n requests for a list.
func (e *engine) await(t *testing.T, what func(e *engine) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		ok := false
		e.set(func(e *engine) { ok = what(e) })
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("not within 20s")
		}
	}
}

// running is an entry of a list; each network is "name=address".
func running(name, status string, networks ...string) string {
	all := map[string]map[string]string{}
	for _, n := range networks {
		network, address, _ := strings.Cut(n, "=")
		all[network] = map[string]string{"IPAddress": address}
	}
	text, _ := json.Marshal(all)
	return fmt.Sprintf(`{"Id":"id-%s","Names":["/%s"],"State":"running","Status":%q,"Ports":[{"PrivatePort":80,"Type":"tcp"},{"PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":53,"Type":"udp"}],"NetworkSettings":{"Networks":%s}}`,
		name, name, status, text)
}

func listOf(entries ...string) string { return "[" + strings.Join(entries, ",") + "]" }

const started = `{"Type":"container","Action":"start","Actor":{"ID":"x","Attributes":{"lb.pool":"app","name":"x"}}}` + "\n"

func (e *engine) discover(t *testing.T, port int) (updates <-chan string, stop func(), lines *logBuffer) {
	log, lines := logger()
	d := NewDocker(DockerOptions{Label: "lb.pool=app", Port: port, Socket: e.socket, Log: log,
		Local: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")} }})
	d.pace.interval = 20 * time.Millisecond // less patience than a real one is given
	updates, stop = follow(t, d)
	return updates, stop, lines
}

func TestDockerFollowsTheContainers(t *testing.T) {
	e := startEngine(t)
	e.set(func(e *engine) {
		e.list = listOf(
			running("plain", "Up 2 minutes", "bridge=172.17.0.2"),
			running("healthy", "Up 2 minutes (healthy)", "bridge=172.17.0.3"),
			running("sick", "Up 2 minutes (unhealthy)", "bridge=172.17.0.4"),
			running("new", "Up 2 seconds (health: starting)", "bridge=172.17.0.5"),
			running("shared", "Up 1 second", "a=172.18.0.2", "back=10.9.0.7", "zone=10.9.0.8"),
			running("first", "Up 1 second", "b=172.19.0.2", "a=172.18.0.9"),
			strings.Replace(running("paused", "Up 1 second (Paused)", "bridge=172.17.0.6"), `"State":"running"`, `"State":"paused"`, 1),
		)
	})
	updates, stop, lines := e.discover(t, 5000)
	expect(t, updates, "10.9.0.7:5000, 172.17.0.2:5000, 172.17.0.3:5000, 172.18.0.9:5000")
	e.set(func(e *engine) { e.list = listOf(running("plain", "Up 3 minutes", "bridge=172.17.0.2")) })
	e.send(t, started)
	expect(t, updates, "172.17.0.2:5000")
	e.set(func(e *engine) { e.list = "[]" })
	e.send(t, `{"Type":"network","Action":"disconnect","Actor":{"Attributes":{"container":"x"}}}`+"\n")
	expect(t, updates, "") // the engine reports no containers
	stop()
	for i, want := range []string{
		`/containers/json {"label":["lb.pool=app"],"status":["running"]}`,
		`/events {"event":["start","die","pause","unpause","health_status","connect","disconnect"],"type":["container","network"]}`,
	} {
		if e.asked[i] != want {
			t.Errorf("asked %s, want %s", e.asked[i], want)
		}
	}
	if got := lines.lines(); got[0] != "" {
		t.Errorf("log %q, want none", got)
	}
}

// TestDockerListsOnlyAfterItsOwnEvents: events of other containers cause no list request.
func TestDockerListsOnlyAfterItsOwnEvents(t *testing.T) {
	e := startEngine(t)
	updates, _, _ := e.discover(t, 5000)
	expect(t, updates, "")
	for range 50 {
		e.send(t, strings.Replace(started, `"lb.pool":"app"`, `"lb.pool":"other"`, 1))
	}
	e.set(func(e *engine) {
		if e.lists != 1 {
			t.Errorf("%d lists, want the first alone", e.lists)
		}
		e.list = listOf(running("a", "Up", "bridge=172.17.0.2"))
	})
	for range 50 {
		e.send(t, started)
	}
	expect(t, updates, "172.17.0.2:5000")
	e.set(func(e *engine) {
		if e.lists > 10 {
			t.Errorf("%d lists for a burst of events", e.lists)
		}
	})
}

func TestDockerExposedPort(t *testing.T) {
	e := startEngine(t)
	several := strings.Replace(running("several", "Up", "bridge=172.17.0.3"), `"PrivatePort":53,"Type":"udp"`, `"PrivatePort":443,"Type":"tcp"`, 1)
	none := strings.ReplaceAll(running("none", "Up", "bridge=172.17.0.4"), `"tcp"`, `"udp"`)
	e.set(func(e *engine) { e.list = listOf(running("one", "Up", "bridge=172.17.0.2"), several, none) })
	updates, stop, lines := e.discover(t, 0)
	expect(t, updates, "172.17.0.2:80")
	e.send(t, started)
	e.await(t, func(e *engine) bool { return e.lists > 1 })
	stop()
	got := strings.Join(lines.lines(), "\n")
	for _, want := range []string{`container "several" is skipped: it exposes several ports; write port = N`, `container "none" is skipped: it exposes no TCP port`} {
		if strings.Count(got, want) != 1 {
			t.Errorf("log %s\nwant %q once", got, want)
		}
	}
}

// TestDockerSkipsBadEntries: every address in the engine's list is validated.
func TestDockerSkipsBadEntries(t *testing.T) {
	e := startEngine(t)
	e.set(func(e *engine) {
		e.list = listOf(
			running("good", "Up", "bridge=172.17.0.2"), running("twin", "Up", "bridge=172.17.0.2"),
			running("host", "Up", "host="), running("zero", "Up", "bridge=0.0.0.0"), running("odd", "Up", "bridge=evil.example/x"),
			`{"Id":"bare","State":"running"}`, `{"Id":"null","State":"running","NetworkSettings":{"Networks":{"a":null}}}`,
		)
	})
	updates, stop, lines := e.discover(t, 5000)
	expect(t, updates, "172.17.0.2:5000")
	stop()
	if got := lines.lines(); len(got) != 5 {
		t.Errorf("log %q, want a line for each of the five", got)
	}
}

// awaitLines waits until so many lines have been logged, and returns them.
func awaitLines(t *testing.T, lines *logBuffer, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		got := lines.lines()
		if len(got) >= n && got[0] != "" {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("log %q, want %d lines", got, n)
		}
	}
}

// TestDockerKeepsTheLastSet: after any wrong response, the known containers are kept, it is logged once, and the
// first valid list is used again.
func TestDockerKeepsTheLastSet(t *testing.T) {
	status := func(n int) func(e *engine) { return func(e *engine) { e.status = n } }
	list := func(text string) func(e *engine) { return func(e *engine) { e.list = text } }
	cases := []struct {
		name   string
		breaks func(e *engine)
		cause  string
	}{
		{"500", status(500), "the Docker engine returned 500"},
		{"404", status(404), "returned 404"},
		{"garbage", list("<html>"), "does not match its documented API"},
		{"another type", list(`{"message":"x"}`), "does not match its documented API"},
		{"cut off", list(`[{"Id":"a"`), "does not match its documented API"},
		{"too large", list(`["` + strings.Repeat("x", maxResponse) + `"]`), "larger than 8 MiB"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := startEngine(t)
			e.set(list(listOf(running("a", "Up", "bridge=172.17.0.2"))))
			updates, stop, lines := e.discover(t, 5000)
			expect(t, updates, "172.17.0.2:5000")
			e.await(t, func(e *engine) bool { return e.streams > 0 })
			asked := 0
			e.set(func(e *engine) { c.breaks(e); asked = e.lists })
			e.send(t, started)
			e.await(t, func(e *engine) bool { return e.lists >= asked+2 })
			expectNone(t, updates)
			e.set(func(e *engine) { e.status, e.list = 0, listOf(running("b", "Up", "bridge=172.17.0.9")) })
			expect(t, updates, "172.17.0.9:5000")
			got := awaitLines(t, lines, 2)
			stop()
			if len(got) != 2 || !strings.Contains(got[0], c.cause) || !strings.Contains(got[0], "keeping the last known set") ||
				!strings.Contains(got[1], "followed again") {
				t.Errorf("log %.2000q, want the trouble once and its end once", got)
			}
		})
	}
}

// TestDockerReopensTheStream: a stream of events that ends or cannot be read is opened again, after a new list request.
func TestDockerReopensTheStream(t *testing.T) {
	for cause, line := range map[string]string{
		"ended the event stream":                       "",
		"an event of the Docker engine cannot be read": "garbage\n",
		"token too long":                               strings.Repeat("x", maxEvent+1),
	} {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			e := startEngine(t)
			updates, stop, lines := e.discover(t, 5000)
			expect(t, updates, "")
			e.send(t, line)
			awaitLines(t, lines, 1)
			e.set(func(e *engine) { e.list = listOf(running("a", "Up", "bridge=172.17.0.2")) })
			expect(t, updates, "172.17.0.2:5000")
			got := awaitLines(t, lines, 2)
			e.set(func(e *engine) { e.list = "[]" })
			e.send(t, started)
			expect(t, updates, "")
			stop()
			if !strings.Contains(got[0], cause) || !strings.Contains(got[1], "followed again") {
				t.Errorf("log %.2000q", got)
			}
		})
	}
}

// TestDockerEngineRestarts: an engine that is missing at the start is no failure. One that appears is used, one that stops leaves
// its last set, and after its restart it is listed again.
func TestDockerEngineRestarts(t *testing.T) {
	e := &engine{socket: filepath.Join(t.TempDir(), "docker.sock"), list: listOf(running("a", "Up", "bridge=172.17.0.2")), stream: make(chan string)}
	updates, stop, lines := e.discover(t, 5000)
	awaitLines(t, lines, 1)
	end := e.serve(t)
	expect(t, updates, "172.17.0.2:5000")
	awaitLines(t, lines, 2)
	end()
	e.set(func(e *engine) { e.list = listOf(running("b", "Up", "bridge=172.17.0.3")) })
	awaitLines(t, lines, 3)
	expectNone(t, updates)
	e.serve(t)
	expect(t, updates, "172.17.0.3:5000")
	got := awaitLines(t, lines, 4)
	stop()
	for i, want := range []string{"no such file or directory; no backends from it", "followed again", "keeping the last known set", "followed again"} {
		if len(got) != 4 || !strings.Contains(got[i], want) {
			t.Fatalf("log %q, want %q on line %d of 4", got, want, i+1)
		}
	}
}
