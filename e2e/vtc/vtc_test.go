//go:build e2e

package vtc

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// scriptTimeout is for one script, which takes a second at most; varnishtest itself times out before.
const scriptTimeout = 30 * time.Second

// TestScripts runs each script in scripts/.
func TestScripts(t *testing.T) {
	varnishtest, err := exec.LookPath("varnishtest")
	if err != nil {
		t.Skip("varnishtest is not installed")
	}
	scripts, err := filepath.Glob("scripts/*.vtc")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	runner, err := filepath.Abs("lb.sh")
	if err != nil {
		t.Fatal(err)
	}
	binary := build(t)
	ports := freePorts(t, len(scripts))
	for i, script := range scripts {
		listen := ports[i]
		t.Run(strings.TrimSuffix(filepath.Base(script), ".vtc"), func(t *testing.T) {
			t.Parallel()
			play(t, varnishtest, "-t", "20", "-D", "listen="+listen,
				"-D", fmt.Sprintf("run=%s %s %s", runner, binary, listen), script)
		})
	}
}

// build builds lb once for all scripts.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "lb")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/lb").CombinedOutput(); err != nil {
		t.Fatalf("cannot build lb: %v\n%s", err, out)
	}
	return binary
}

// play runs varnishtest on a script and reports its output only if it failed.
func play(t *testing.T, varnishtest string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), scriptTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, varnishtest, args...)
	command.WaitDelay = time.Second
	out, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// freePorts returns loopback addresses below the range of ports for outgoing connections, one of which could otherwise
// take a port before lb does.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	const first, count = 12000, 6000
	var addresses []string
	start := int(time.Now().UnixNano() % count) // parallel runs rarely use the same ports
	for i := 0; len(addresses) < n && i < count; i++ {
		address := fmt.Sprintf("127.0.0.1:%d", first+(start+i)%count)
		if ln, err := net.Listen("tcp", address); err == nil {
			ln.Close()
			addresses = append(addresses, address)
		}
	}
	if len(addresses) < n {
		t.Fatal("no port is free")
	}
	return addresses
}
