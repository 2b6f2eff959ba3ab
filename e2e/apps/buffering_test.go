//go:build e2e

package apps

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// bufferingConfig is a pool of one application.
const bufferingConfig = `listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
access_log {
  format = "off"
}
site "s" {
  route "/" {
    proxy {
      pool = "app"
%s
    }
  }
}
pool "app" {
  backend "%s" {}
  eject {
    failures = 0
  }
  timeouts {
    response = "%s"
  }
}
`

// slowClient starts a request that occupies a worker: an upload whose last byte is missing, or a download that is not read.
func slowClient(t *testing.T, lb *balancer, kind string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(lb.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if kind == "uploads" {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n%s", strings.Repeat("x", 99_999))
		return
	}
	_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
	fmt.Fprint(c, "GET /?12000000 HTTP/1.1\r\nHost: a\r\n\r\n")
}

// TestSlowClientsOfFewWorkers: four, and forty, slow clients hold the four workers of an application where bodies are streamed,
// so that no other client is served; with both buffers all others are, as without slow clients.
func TestSlowClientsOfFewWorkers(t *testing.T) {
	needModules(t, "gunicorn")
	for _, kind := range []string{"uploads", "downloads"} {
		for _, buffers := range []string{"", "buffer_request = \"1MiB\"\nbuffer_response = \"16MiB\"\nbuffer_dir = \"DIR\""} {
			for _, slow := range []int{4, 40} {
				t.Run(fmt.Sprintf("%s/%d/%v", kind, slow, buffers != ""), func(t *testing.T) {
					address := freePorts(t, 1)[0]
					launch(t, []string{"PYTHONDONTWRITEBYTECODE=1"}, python, "-m", "gunicorn", "-w", "4", "-k", "sync", "-t", "300", "-b", address,
						"--chdir", filepath.Join(root, "e2e/apps/testdata/wsgi"), "whole:app")
					eventually(t, "gunicorn responds", func() bool { status, _ := get("http://" + address + "/"); return status == 200 })
					timeout := "1s" // of clients that are not served
					if buffers != "" {
						timeout = "30s"
					}
					lb := startLB(t, t.TempDir(), fmt.Sprintf(bufferingConfig, buffers, address, timeout))
					alone := goodRequests(t, lb)
					for range slow {
						slowClient(t, lb, kind)
					}
					eventually(t, "all slow clients are connected", func() bool { return lb.metric("lb_requests_in_flight") == float64(slow) || buffers == "" })
					if buffers == "" {
						eventually(t, "no other client is served", func() bool { status, _ := get(lb.url + "/"); return status == 504 })
						return
					}
					if kind == "downloads" {
						eventually(t, "the workers are free", func() bool { return lb.metric("lb_backend_in_flight") == 0 })
					}
					beside := goodRequests(t, lb)
					t.Logf("the median and the longest of %d good requests: %v alone, %v beside %d slow %s", goodCount, alone, beside, slow, kind)
					// lb counts the last of the good requests for a moment after its client has read the response.
					eventually(t, "only the slow clients are left", func() bool { return lb.metric("lb_requests_in_flight") == float64(slow) })
				})
			}
		}
	}
}

const goodCount = 100

// goodRequests requires every request to succeed, and returns the median and the longest time of one.
func goodRequests(t *testing.T, lb *balancer) [2]time.Duration {
	t.Helper()
	took := make([]time.Duration, goodCount)
	for i := range took {
		began := time.Now()
		if status, body := get(lb.url + "/"); status != 200 || body != "0" {
			t.Fatalf("%d %q", status, body)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return [2]time.Duration{took[len(took)/2].Round(100 * time.Microsecond), took[len(took)-1].Round(100 * time.Microsecond)}
}
