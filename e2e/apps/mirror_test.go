//go:build e2e

package apps

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mirrorConfiguration mirrors the requests to app in next.
func mirrorConfiguration(app, next, mirror string) string {
	text := workers([]string{app}, "", "") + "pool \"next\" {\n  backend \"" + next + "\" {}\n}\n"
	return strings.Replace(text, "    proxy {", "    mirror {\n      pool = \"next\"\n"+mirror+"    }\n    proxy {", 1)
}

// record is an application that keeps a line for each request.
func record(t *testing.T) (address string, lines func() []string) {
	var mu sync.Mutex
	var all []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		all = append(all, fmt.Sprintf("%s %s %s %d %x", r.Method, r.URL, r.Header.Get("X-Request-Id"), n, sum.Sum(nil)))
		mu.Unlock()
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

// TestMirror: the mirror gets the requests of curl with their bodies.
func TestMirror(t *testing.T) {
	need(t, "curl")
	dir := t.TempDir()
	app, original := record(t)
	next, copied := record(t)
	lb := startLB(t, dir, mirrorConfiguration(app, next, "      share = 1.0\n"))
	body := dir + "/body"
	content, err := io.ReadAll(io.LimitReader(noise(), 200_000))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(body, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, args := range [][]string{
		{"/a?b=c"}, {"--head", "/"}, {"--data-binary", "@" + body, "/form"}, {"--upload-file", body, "/file"},
		{"--header", "Transfer-Encoding: chunked", "--data-binary", "@" + body, "/chunked"},
		{"--header", "Expect:", "--data-binary", "@" + body, "/form"},
	} {
		last := len(args) - 1
		args[last] = lb.url + args[last]
		if out, err := exec.Command("curl", append([]string{"-sS", "--fail"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		eventually(t, "a copy", func() bool { return len(copied()) > i })
		if a, b := original()[i], copied()[i]; a != b {
			t.Errorf("the copy of\n%s is\n%s", a, b)
		}
	}
}

// TestMirrorStops: a mirror that is stopped, and holds its connections, does no harm to the requests that are copied.
func TestMirrorStops(t *testing.T) {
	const perSecond, limit = 500, 20
	addresses := freePorts(t, 2)
	startWorker(t, addresses[0])
	next := startWorker(t, addresses[1])
	lb := startLB(t, t.TempDir(), mirrorConfiguration(addresses[0], addresses[1], fmt.Sprintf("      share = 1\n      limit = %d\n", limit)))
	load := newPaced(lb.url)
	load.add(64, perSecond, true, "GET", "/work?ms=10")
	load.add(64, perSecond, true, "POST", "/work?ms=10")
	eventually(t, "copies", func() bool {
		return lb.metric(`lb_mirrored_requests_total{pool="next",result="responded"}`) > 2*perSecond
	})
	stopped := time.Now()
	if err := next.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := memory(t, lb.Process.Pid, "VmRSS")
	eventually(t, "many requests that are not copied", func() bool {
		return lb.metric(`lb_mirrored_requests_total{pool="next",result="dropped"}`) > 4*perSecond
	})
	inFlight := lb.metric(`lb_backend_in_flight{pool="next"`)
	after := memory(t, lb.Process.Pid, "VmRSS")
	again := time.Now()
	if err := next.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	responded := lb.metric(`lb_mirrored_requests_total{pool="next",result="responded"}`)
	eventually(t, "copies again", func() bool {
		return lb.metric(`lb_mirrored_requests_total{pool="next",result="responded"}`) > responded+perSecond
	})
	shots := load.stop()
	for _, s := range shots {
		if s.err != nil {
			t.Errorf("%s: %v, %v after the stop", s.method, s.err, s.start.Sub(stopped))
		}
	}
	if inFlight > limit {
		t.Errorf("%v copies are in flight, more than %d", inFlight, limit)
	}
	if after > before+32<<20 {
		t.Errorf("the memory grew from %d to %d", before, after)
	}
	with, without := between(shots, time.Time{}, stopped), between(shots, stopped, again)
	t.Logf("median and 99th percentile: %v and %v with the mirror, %v and %v while it was stopped; %d and %d requests; %d and %d KiB",
		quantile(with, 0.5), quantile(with, 0.99), quantile(without, 0.5), quantile(without, 0.99), len(with), len(without), before>>10, after>>10)
}
