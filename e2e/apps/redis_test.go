//go:build e2e

package apps

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"lb/internal/lbtest"
)

// sharedLimit is a limit in a Redis, and a way around it that has none.
const sharedLimit = `
listen "LISTEN" {}
admin {
  listen = "ADMIN"
}
log {
  file = "DIR/lb.log"
}
access_log {
  format = "off"
}
site "s" {
  route "/" {
    rate_limit {
      rate       = "1/h"
      burst      = 20
      redis      = "REDIS"
      redis_down = "DOWN"
    }
    respond {}
  }
}
`

// startFleet starts two processes with one limit in a Redis.
func startFleet(t *testing.T, redis, down string) (fleet [2]*balancer) {
	t.Helper()
	text := strings.NewReplacer("REDIS", redis, "DOWN", down).Replace(sharedLimit)
	for i := range fleet {
		fleet[i] = startLB(t, t.TempDir(), text)
	}
	return fleet
}

// statuses sends requests to the processes in turn, by curl, and returns how often there was each status.
func statuses(t *testing.T, curl string, fleet [2]*balancer, n int) map[string]int {
	t.Helper()
	found := map[string]int{}
	for i := range n {
		out, err := exec.Command(curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", fleet[i%2].url).Output()
		if err != nil {
			t.Fatalf("curl: %v", err)
		}
		found[string(out)]++
	}
	return found
}

// TestSharedLimit: two processes let the burst pass and no more, while wrk sends as fast as it can to both of them. A Redis that is killed,
// stopped, or wants another password makes the limit open or closed, and counts again when it is back.
func TestSharedLimit(t *testing.T) {
	curl, wrk := need(t, "curl"), need(t, "wrk")
	redis := lbtest.StartRedis(t)
	fleet := startFleet(t, "redis://"+redis.Addr, "closed")
	var load [2]*process
	for i := range load {
		load[i] = launch(t, nil, wrk, "-t1", "-c4", "-d2", fleet[i].url)
	}
	passed := 0
	for i := range load {
		if status := load[i].exits(t); status != 0 {
			t.Fatalf("wrk: %d", status)
		}
		var total, refused int
		for line := range strings.Lines(load[i].out.String()) {
			_, _ = fmt.Sscanf(strings.TrimSpace(line), "%d requests in", &total)
			_, _ = fmt.Sscanf(strings.TrimSpace(line), "Non-2xx or 3xx responses: %d", &refused)
		}
		t.Logf("%d requests, %d refused", total, refused)
		passed += total - refused
	}
	if passed > 20 || passed < 16 {
		t.Errorf("%d requests passed of 20", passed)
	}
	up := func(b *balancer) bool {
		_, text := get("http://" + b.admin + "/metrics")
		return strings.Contains(text, "\nlb_limit_redis_up{redis=\""+redis.Addr+"/0\"} 1\n")
	}
	for name, c := range map[string]struct{ away, back func() }{
		"killed":  {redis.Kill, func() { redis.Start(t) }},
		"stopped": {func() { redis.Signal(syscall.SIGSTOP) }, func() { redis.Signal(syscall.SIGCONT) }},
	} {
		c.away()
		eventually(t, name, func() bool { return statuses(t, curl, fleet, 2)["503"] == 2 })
		if found := statuses(t, curl, fleet, 10); found["503"] != 10 {
			t.Errorf("%s: %v", name, found)
		}
		c.back()
		eventually(t, "it is back", func() bool { return up(fleet[0]) && up(fleet[1]) })
		if found := statuses(t, curl, fleet, 6); found["503"] > 0 {
			t.Errorf("%s and back: %v", name, found)
		}
	}
	redis.Kill()
	open := startFleet(t, "redis://:hunter22@"+redis.Addr, "open")
	eventually(t, "the loss is noticed", func() bool { return !up(open[0]) && !up(open[1]) })
	if found := statuses(t, curl, open, 60); found["200"] != 60 {
		t.Errorf("open: %v", found)
	}
	locked := lbtest.StartRedis(t, "--requirepass", "right")
	wrong := startFleet(t, "redis://:hunter22@"+locked.Addr, "closed")
	eventually(t, "the password is refused", func() bool { return statuses(t, curl, wrong, 2)["503"] == 2 })
	_, status := get("http://" + wrong[0].admin + "/api/v1/config")
	_, check := command(t, "check", "-config", wrong[0].file)
	log, _ := exec.Command("cat", wrong[0].dir+"/lb.log").Output()
	if text := status + check + string(log) + wrong[0].out.String(); strings.Contains(text, "hunter22") || !strings.Contains(text, "the password in the URL is wrong") {
		t.Errorf("%s", text)
	}
}
