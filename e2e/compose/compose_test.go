//go:build e2e

package compose

import (
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestScale builds the two images from the shipped Dockerfile, starts the
// shipped stack and goes from one replica to five and back to two while clients
// send requests without a pause: none may fail.
func TestScale(t *testing.T) {
	s := newStack(t)
	port, adminPort := freePort(t), freePort(t)
	token := rand.Text()
	lbImage, appImage, goImage := s.project+"-lb", s.project+"-clock", os.Getenv("LB_E2E_GO_IMAGE")
	goproxy := os.Getenv("GOPROXY")
	standIn := goImage == ""
	if standIn {
		goImage, goproxy = s.project+"-go", "off" // it brings the modules
	}
	s.env = []string{
		"LB_IMAGE=" + lbImage, "APP_IMAGE=" + appImage,
		"GO_IMAGE=" + goImage, "GOPROXY=" + goproxy, "VERSION=e2e",
		"LB_HTTP_PORT=127.0.0.1:" + port, "LB_ADMIN_PORT=" + adminPort, "LB_ADMIN_TOKEN=" + token,
	}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := s.try("logs", "--tail", "60", "lb")
			t.Log(out)
		}
		s.down()
		removeImages(t, lbImage, appImage)
		removeBuilds(t, goImage)
		if standIn {
			removeImages(t, goImage)
		}
	})

	if standIn {
		importGoImage(t, goImage)
	}
	s.run("build")
	s.run("up", "-d", "--no-build", "--scale", "app=1")
	url := "http://127.0.0.1:" + port
	awaitReplicas(t, s, url, 1)
	checkResponses(t, url, "http://127.0.0.1:"+adminPort, token)

	traffic := startLoad(url + "/api/time")
	ended := false
	t.Cleanup(func() {
		if !ended {
			traffic.end()
		}
	})
	for _, n := range []int{5, 2} {
		s.run("up", "-d", "--no-build", "--scale", fmt.Sprintf("app=%d", n))
		awaitReplicas(t, s, url, n)
	}
	failures := traffic.end()
	ended = true
	t.Logf("%d requests while scaling, %d failed", traffic.requests.Load(), traffic.failed.Load())
	if len(failures) > 0 {
		t.Errorf("requests failed while scaling, the first:\n%s", strings.Join(failures, "\n"))
	}
	if n := traffic.requests.Load(); n < 1000 {
		t.Errorf("only %d requests were made: that proves nothing", n)
	}
	awaitHealthy(t, s)
}

// awaitReplicas polls until the engine runs n replicas and a batch of requests
// gets responses of exactly n.
func awaitReplicas(t *testing.T, s *stack, url string, n int) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var last string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		names, err := map[string]bool{}, error(nil)
		for range 8 * n {
			var name string
			if name, err = ask(client, url+"/api/time"); err != nil {
				break
			}
			names[name] = true
		}
		if err == nil && len(names) == n && s.replicas("app") == n {
			return
		}
		last = fmt.Sprintf("responses of %d, error %v", len(names), err)
	}
	t.Fatalf("never served by %d replicas: %s", n, last)
}

// checkResponses checks the other pages of the stack.
func checkResponses(t *testing.T, url, admin, token string) {
	t.Helper()
	for _, tt := range []struct {
		name, url, token string
		status           int
		contains         string
	}{
		{"page from a replica", url + "/", "", 200, `<img src="/images/clock.svg"`},
		{"picture from the cache", url + "/images/clock.svg", "", 200, "<svg"},
		{"metrics without a token", admin + "/metrics", "", 200, `lb_build_info{`},
		{"version by build argument", admin + "/metrics", "", 200, `version="e2e"`},
		{"readiness without a token", admin + "/readyz", "", 200, ""},
		{"status without a token", admin + "/api/v1/status", "", 401, ""},
		{"status with the token", admin + "/api/v1/status", token, 200, "version"},
	} {
		req, err := http.NewRequest(http.MethodGet, tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.token != "" {
			req.Header.Set("Authorization", "Bearer "+tt.token)
		}
		resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || !strings.Contains(string(body), tt.contains) {
			t.Errorf("%s: %s, want %d and %q (%v):\n%.500s", tt.name, resp.Status, tt.status, tt.contains, err, body)
		}
		if fromCache := tt.name == "picture from the cache"; fromCache && resp.Header.Get("X-Replica") != "" {
			t.Errorf("%s: a replica responded", tt.name)
		}
	}
}

// awaitHealthy polls until the engine's own health checks pass for every container.
func awaitHealthy(t *testing.T, s *stack) {
	t.Helper()
	ids := strings.Fields(s.run("ps", "-q"))
	var states string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		var err error
		states, err = try(time.Minute, append([]string{"docker", "inspect", "--format", "{{.Name}} {{.State.Health.Status}}"}, ids...)...)
		if err != nil {
			t.Fatalf("cannot inspect the containers: %v\n%s", err, states)
		}
		if strings.Count(states, " healthy\n") == len(ids) {
			return
		}
	}
	t.Errorf("not every container is healthy:\n%s", states)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
