//go:build e2e

package apps

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// large is the size of a transfer, far more than the memory that lb may use for it.
const (
	large    = 200 << 20
	headroom = 32 << 20
)

// noise is a stream of bytes without a pattern, the same each time.
func noise() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{7}), large) }

func sum(r io.Reader) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// memory reads a figure of /proc/PID/status, in bytes.
func memory(t *testing.T, pid int, field string) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Skip("no /proc to read the memory from")
	}
	match := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		t.Fatalf("no %s in\n%s", field, status)
	}
	n, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// TestLargeTransfers: 200 MiB each way, with and without a known length, arrive whole and are not held in memory.
func TestLargeTransfers(t *testing.T) {
	want, _, err := sum(noise())
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			w.Header().Set("Content-Length", strconv.Itoa(large))
			_, _ = io.Copy(w, noise())
		case "/chunked":
			_, _ = io.Copy(w, noise())
		case "/up":
			got, n, err := sum(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			_, _ = io.WriteString(w, got+" "+strconv.FormatInt(n, 10))
		}
	}))
	defer app.Close()
	lb := startLB(t, t.TempDir(), proxyConfig(backend(strings.TrimPrefix(app.URL, "http://"))))
	if status, body := get(lb.url + "/none"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	before := memory(t, lb.Process.Pid, "VmRSS")
	for _, path := range []string{"/down", "/chunked"} {
		response, err := http.Get(lb.url + path)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := sum(response.Body)
		response.Body.Close()
		if err != nil || got != want {
			t.Errorf("%s: %d bytes, %v, equal %v", path, n, err, got == want)
		}
	}
	for _, length := range []int64{large, -1} {
		request, err := http.NewRequest(http.MethodPost, lb.url+"/up", noise())
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = length
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != want+" "+strconv.Itoa(large) {
			t.Errorf("up, length %d: %v %s", length, err, body)
		}
	}
	if grown := memory(t, lb.Process.Pid, "VmHWM") - before; grown > headroom {
		t.Errorf("memory grew by %d MiB at the peak", grown>>20)
	} else {
		t.Logf("memory grew by %d KiB at the peak", grown>>10)
	}
}

// TestLargeFile: a file above max_file is sent from disk, whole or from the offset at which curl stopped.
func TestLargeFile(t *testing.T) {
	curl, dir := need(t, "curl"), t.TempDir()
	file, err := os.Create(filepath.Join(dir, "film.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(file, noise()); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	want, _, err := sum(noise())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(okSite, "respond {\n      status = 200\n      body   = \"fine\"", "static {\n      root = \"DIR\"", 1)
	lb := startLB(t, dir, text)
	get(lb.url + "/none")
	before := memory(t, lb.Process.Pid, "VmRSS")

	response, err := http.Get(lb.url + "/film.bin")
	if err != nil {
		t.Fatal(err)
	}
	got, n, err := sum(response.Body)
	response.Body.Close()
	if err != nil || got != want {
		t.Errorf("%d bytes, %v, equal %v", n, err, got == want)
	}

	part := filepath.Join(dir, "part")
	if out, err := exec.Command(curl, "-sS", "-r", "0-9999999", "-o", part, lb.url+"/film.bin").CombinedOutput(); err != nil {
		t.Fatalf("curl: %v %s", err, out)
	}
	if info, err := os.Stat(part); err != nil || info.Size() != 10_000_000 {
		t.Fatalf("the first part: %v %v", info.Size(), err)
	}
	out, err := exec.Command(curl, "-sS", "-C", "-", "-o", part, "-w", "%{http_code} %{size_download}", lb.url+"/film.bin").CombinedOutput()
	if err != nil || string(out) != "206 "+strconv.Itoa(large-10_000_000) {
		t.Errorf("resumed: %v %s", err, out)
	}
	whole, err := os.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	if got, n, err := sum(whole); err != nil || got != want {
		t.Errorf("resumed file: %d bytes, %v, equal %v", n, err, got == want)
	}
	if grown := memory(t, lb.Process.Pid, "VmHWM") - before; grown > headroom {
		t.Errorf("memory grew by %d MiB at the peak", grown>>20)
	}
}
