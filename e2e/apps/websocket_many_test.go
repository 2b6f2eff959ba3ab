//go:build e2e

package apps

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// TestManyWebSockets: 4,000 at a time, or as many as the descriptors allow, of which lb needs two for each. All echo, and
// their resources are released when they are closed.
func TestManyWebSockets(t *testing.T) {
	_, address := startSockets(t, "go")
	lb := startSocketFront(t, address, "")
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const reserve = 600 // for lb itself and other programs
	n := int(min(4000, (max(limit.Max, reserve)-reserve)/2))
	if n < 100 {
		t.Skipf("%d descriptors are too few", limit.Max)
	}
	lb.round(t, 50) // allocates what is kept for ever
	before := lb.footprint(t)
	lb.round(t, n)
	t.Logf("%d at a time; before %+v, after %+v", n, before, lb.footprint(t))
	lb.round(t, n) // reuses memory that was not returned to the system
	eventually(t, "lb's descriptors are closed", func() bool { return lb.footprint(t).descriptors <= before.descriptors })
	t.Logf("after as many again %+v", lb.footprint(t))
}

// round opens n WebSockets, has an echo on each while all are open, and closes them.
func (f *socketFront) round(t *testing.T, n int) {
	t.Helper()
	sockets := make([]*websocket.Conn, n)
	each := func(do func(ctx context.Context, i int) error) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		const atOnce = 32 // so that no listen queue overflows
		var group sync.WaitGroup
		for worker := range atOnce {
			group.Go(func() {
				for i := worker; i < n; i += atOnce {
					if err := do(ctx, i); err != nil {
						t.Errorf("connection %d: %v", i, err)
						return
					}
				}
			})
		}
		group.Wait()
		if t.Failed() {
			t.FailNow()
		}
	}
	each(func(ctx context.Context, i int) (err error) {
		sockets[i], _, err = websocket.Dial(ctx, f.ws+"/", &websocket.DialOptions{HTTPClient: f.client})
		return err
	})
	f.upgraded(t, strconv.Itoa(n))
	for range 2 {
		each(func(ctx context.Context, i int) error {
			if err := sockets[i].Write(ctx, websocket.MessageText, []byte(strconv.Itoa(i))); err != nil {
				return err
			}
			_, message, err := sockets[i].Read(ctx)
			if err == nil && string(message) != strconv.Itoa(i) {
				t.Errorf("connection %d read %q", i, message)
			}
			return err
		})
	}
	if n > 1000 {
		t.Logf("while %d are open: %+v", n, f.footprint(t))
	}
	each(func(_ context.Context, i int) error { return sockets[i].Close(websocket.StatusNormalClosure, "") })
	f.upgraded(t, "0")
}

// footprint is what lb uses at a time.
type footprint struct {
	descriptors, goroutines int
	rssMiB, liveMiB         int // resident; heap in use after a garbage collection
}

func (f *socketFront) footprint(t *testing.T) footprint {
	t.Helper()
	open, err := os.ReadDir("/proc/" + strconv.Itoa(f.Process.Pid) + "/fd")
	if err != nil {
		t.Skip("no /proc to count descriptors in")
	}
	held := footprint{descriptors: len(open), rssMiB: int(memory(t, f.Process.Pid, "VmRSS") >> 20)}
	_, profile := get("http://" + f.admin + "/debug/pprof/goroutine?debug=1")
	_, heap := get("http://" + f.admin + "/debug/pprof/heap?gc=1&debug=1")
	if match := regexp.MustCompile(`# HeapAlloc = (\d+)`).FindStringSubmatch(heap); match != nil {
		n, _ := strconv.Atoi(match[1])
		held.liveMiB = n >> 20
	}
	if match := regexp.MustCompile(`total (\d+)`).FindStringSubmatch(profile); match != nil {
		held.goroutines, _ = strconv.Atoi(match[1])
	}
	return held
}
