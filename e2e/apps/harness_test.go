//go:build e2e

package apps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// patience limits every wait; a test that reaches it fails.
const patience = 30 * time.Second

var (
	root    string // of the repository
	binary  string // lb
	scratch string
)

func TestMain(m *testing.M) {
	if address := os.Getenv(echoAddress); address != "" {
		fmt.Fprintln(os.Stderr, serveEcho(address))
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if address := os.Getenv(workerAddress); address != "" {
		return work(address)
	}
	if order := os.Getenv(crowdVariable); order != "" {
		return beCrowd(order)
	}
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		panic(err)
	}
	if scratch, err = os.MkdirTemp("", "lb-e2e-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(scratch)
	binary = filepath.Join(scratch, "lb")
	ports.Store(rand.Int32N(portCount)) // parallel runs rarely use the same ports
	build := exec.Command("go", "build", "-o", scratch, "./cmd/lb", "./cmd/clock")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// need returns the path of a program, or skips the test.
func need(t *testing.T, program string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/bin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// needModules skips the test if Python does not have the modules.
func needModules(t *testing.T, names ...string) {
	t.Helper()
	if exec.Command(python, "-c", "import "+strings.Join(names, ", ")).Run() != nil {
		t.Skipf("%s has not all of %s", python, strings.Join(names, ", "))
	}
}

// process is a program under test.
type process struct {
	*exec.Cmd
	name string
	done chan struct{}
	out  lbtest.Output
}

// launch starts a program; it is killed at the test's end, and its output shown if the test failed.
func launch(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	return launchWith(t, env, nil, name, args...)
}

// launchWith also passes files on, as descriptors 3 and up.
func launchWith(t *testing.T, env []string, files []*os.File, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(name, args...), name: filepath.Base(name), done: make(chan struct{})}
	p.Env, p.ExtraFiles = append(os.Environ(), env...), files
	p.Stdout, p.Stderr = &p.out, &p.out
	p.WaitDelay = time.Second // a child of the program may outlive it and hold the pipe
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", name, err)
	}
	go func() { _ = p.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("%s said:\n%.4000s", p.name, p.out.String())
		}
	})
	return p
}

func (p *process) kill() {
	_ = p.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// exits waits for the end and returns the exit status.
func (p *process) exits(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s does not end", p.name)
		return -1
	}
}

// ports are used once each. They are below the range for outgoing connections, one of which could otherwise take a port
// before its program does.
var ports atomic.Int32

const firstPort, portCount = 20000, 12000

// freePorts returns unused loopback addresses.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for tries := 0; len(addresses) < n && tries < portCount; tries++ {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+int(ports.Add(1))%portCount)
		ln, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		ln.Close()
		addresses = append(addresses, address)
	}
	if len(addresses) < n {
		t.Fatal("no port is free")
	}
	return addresses
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// balancer is a running lb.
type balancer struct {
	*process
	url   string // of the listener
	admin string // address of the admin listener
	dir   string
	file  string
}

// startLB runs lb with that configuration, in which LISTEN, ADMIN and DIR are replaced.
func startLB(t *testing.T, dir, text string) *balancer {
	t.Helper()
	return startProgram(t, binary, dir, text)
}

// startProgram is startLB with a certain binary.
func startProgram(t *testing.T, program, dir, text string) *balancer {
	t.Helper()
	ports := freePorts(t, 2)
	b := &balancer{url: "http://" + ports[0], admin: ports[1], dir: dir, file: filepath.Join(dir, "lb.hcl")}
	b.configure(t, text)
	b.process = launch(t, nil, program, "-config", b.file)
	eventually(t, "lb is ready", func() bool {
		select {
		case <-b.done:
			t.Fatalf("lb ended:\n%s", b.out.String())
		default:
		}
		status, _ := get("http://" + b.admin + "/readyz")
		return status == 200
	})
	return b
}

func (b *balancer) configure(t *testing.T, text string) {
	t.Helper()
	text = strings.NewReplacer("LISTEN", strings.TrimPrefix(b.url, "http://"), "ADMIN", b.admin, "DIR", b.dir).Replace(text)
	if err := os.WriteFile(b.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command runs lb with arguments to its end.
func command(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	return commandAs(t, nil, args...)
}

// commandAs is command as another user, nil for this one.
func commandAs(t *testing.T, user *syscall.Credential, args ...string) (status int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lb := exec.CommandContext(ctx, binary, args...)
	lb.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	b, err := lb.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), string(b)
	case err != nil:
		t.Fatal(err)
	}
	return 0, string(b)
}

// get sends one request on a new connection; status 0 means that there was no response.
func get(url string) (status int, body string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(b)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// write writes a file and creates its directory.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
