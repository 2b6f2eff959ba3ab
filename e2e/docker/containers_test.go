//go:build e2e

package docker

import (
	"strings"
	"testing"
	"time"
)

// TestContainersStartAndStop: containers with the label get requests after they start and none after they stop, without
// a failed request. The second network is ignored.
func TestContainersStartAndStop(t *testing.T) {
	l := newLab(t)
	image := l.build("plain", "")
	l.start(image, "a")
	l.start(image, "b")
	l.command("run", "-d", "--name", l.name+"-stranger", "--network", l.name, "--label", l.label+"-not", image, "-name", "stranger")
	t.Cleanup(func() { l.command("rm", "-f", l.name+"-stranger") })
	lb := startLB(t, l.label)
	lb.await("a", "b")

	clients := lb.load()
	l.start(image, "c")
	lb.await("a", "b", "c")
	l.stop("a")
	lb.await("b", "c")
	l.start(image, "d")
	lb.await("b", "c", "d")
	l.command("start", l.name+"-a")
	lb.await("a", "b", "c", "d")
	clients.end(t)
	if n := clients.requests.Load(); n < 200 {
		t.Errorf("only %d requests were made: that proves nothing", n)
	}
	l.command("network", "disconnect", l.name, l.name+"-d")
	lb.await("a", "b", "c")
}

// TestHealthOfContainers: a container with a health check joins when it passes, and never if it fails.
func TestHealthOfContainers(t *testing.T) {
	l := newLab(t)
	const check = "HEALTHCHECK --interval=1s --timeout=1s --retries=1 CMD [\"/clock\", \"-healthcheck\", \"http://127.0.0.1:PORT/healthz\"]\n"
	l.start(l.build("well", strings.Replace(check, "PORT", "5000", 1)), "well")
	l.start(l.build("sick", strings.Replace(check, "PORT", "9", 1)), "sick")
	l.start(l.build("plain", ""), "plain")
	lb := startLB(t, l.label)
	for deadline := time.Now().Add(patience); l.health("sick") != "unhealthy" || l.health("well") != "healthy"; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the engine says %q and %q", l.health("sick"), l.health("well"))
		}
	}
	lb.await("plain", "well")
	l.stop("plain")
	lb.await("well")
	l.command("pause", l.name+"-well")
	l.command("start", l.name+"-plain")
	lb.await("plain")
	l.command("unpause", l.name+"-well")
	lb.await("plain", "well")
}
