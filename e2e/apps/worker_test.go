//go:build e2e

package apps

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// workerAddress is an environment variable by which this program runs a backend, which can then be killed.
const workerAddress = "LB_E2E_WORKER"

// startWorker runs a backend; see work for its responses.
func startWorker(t *testing.T, address string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := launch(t, []string{workerAddress + "=" + address}, self)
	eventually(t, "worker "+address, func() bool { status, _ := get("http://" + address + "/healthz"); return status == 200 })
	return p
}

// work serves until it is killed:
//
//	/work?ms=N&status=S  S (200) after N milliseconds, whatever the method
//	/events              a line every 50 ms
//	/upgrade             a protocol that echoes each line
//	/count               how many requests to /work there were
func work(address string) int {
	var count atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, count.Load()) })
	mux.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		query := r.URL.Query()
		if ms, _ := strconv.Atoi(query.Get("ms")); ms > 0 {
			time.Sleep(time.Duration(ms) * time.Millisecond)
		}
		w.Header().Set("X-Worker", address)
		if status, _ := strconv.Atoi(query.Get("status")); status > 0 {
			w.WriteHeader(status)
		}
		fmt.Fprintln(w, "done")
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
	mux.HandleFunc("/upgrade", func(w http.ResponseWriter, r *http.Request) {
		c, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		echo(c, buffered.Reader)
	})
	ln, err := net.Listen("tcp", address)
	if err == nil {
		err = http.Serve(ln, mux)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func echo(w io.Writer, r *bufio.Reader) {
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(w, l); err != nil {
			return
		}
	}
}
