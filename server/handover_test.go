package server_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lb/internal/lbtest"
)

// handed is a listening socket as the previous process passes it on: its address and a descriptor with an unused number.
func handed(t *testing.T) (address string, fd int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String(), highDescriptor(t, ln.(*net.TCPListener))
}

func highDescriptor(t *testing.T, socket syscall.Conn) (fd int) {
	t.Helper()
	raw, err := socket.SyscallConn()
	if err == nil {
		err = raw.Control(func(from uintptr) {
			if fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 700); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func takeOver(t *testing.T, admin map[string]int) {
	t.Helper()
	ready, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ready.Close() })
	text, _ := json.Marshal(map[string]any{"admin": admin, "ready": highDescriptor(t, writer)})
	writer.Close()
	t.Setenv("LB_HANDOVER", string(text))
}

// TestTakeAdminOnce: an inherited socket is used once. Its number means something else later, when a reload returns to the first
// admin address.
func TestTakeAdminOnce(t *testing.T) {
	address, fd := handed(t)
	takeOver(t, map[string]int{address: fd})
	admin := "\nadmin {\n  listen = \"" + address + "\"\n}\n"
	lb := start(t, proxyTo("", "127.0.0.1:1")+admin)
	if got := lb.AdminAddr().String(); got != address {
		t.Fatalf("admin on %s, want %s", got, address)
	}
	other, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Dup3(int(other.Fd()), fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := lb.reload(proxyTo("", "127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the first admin address is free", func() bool {
		ln, err := net.Listen("tcp", address)
		if err == nil {
			ln.Close()
		}
		return err == nil
	})
	if err := lb.reload(proxyTo("", "127.0.0.1:1") + admin); err != nil {
		t.Errorf("back to the first address: %v", err)
	}
	if err := unix.Close(fd); err != nil {
		t.Errorf("a file of somebody else's was closed: %v", err)
	}
}

// TestUnwantedAdminCloses: an inherited admin listener is closed if the new configuration has none, so that no client waits for
// it.
func TestUnwantedAdminCloses(t *testing.T) {
	address, fd := handed(t)
	takeOver(t, map[string]int{address: fd})
	start(t, proxyTo("", "127.0.0.1:1"))
	if nc, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the old admin address is still open: %v", err)
		if nc != nil {
			nc.Close()
		}
		unix.Close(fd)
	}
}

// successor is a program that, as far as the previous process can see, takes over. It records each of its starts in the file
// DIR/started, and then waits until DIR/serve exists.
func successor(dir string) []string {
	script := `echo "$$" >> "$0/started"
while [ ! -e "$0/serve" ]; do sleep 0.01; done
ready=${LB_HANDOVER##*ready\":}
eval "echo >&${ready%?}"
`
	return []string{"/bin/sh", "-c", script, dir}
}

func started(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "started"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// TestHandOverOnce: two requests for a takeover start one new process. After the takeover nothing changes in this one.
func TestHandOverOnce(t *testing.T) {
	dir := t.TempDir()
	lb := startCommand(t, "listen \"unix:$DIR/lb.sock\" {}\n"+proxyTo("", "127.0.0.1:1"), successor(dir)...)
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- lb.HandOver(t.Context()) }()
	}
	lbtest.Eventually(t, "a new process", func() bool { return len(started(t, dir)) > 0 })
	if err := os.WriteFile(filepath.Join(dir, "serve"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if one, other := <-results, <-results; (one == nil) == (other == nil) {
		t.Errorf("%v and %v, want one success", one, other)
	}
	if pids := started(t, dir); len(pids) != 1 {
		t.Errorf("%d processes were started", len(pids))
	}
	if err := lb.reload(proxyTo("", "127.0.0.1:2")); err == nil {
		t.Error("reloaded beside the new process")
	}
	lb.stop()
	if _, err := os.Stat(filepath.Join(lb.dir, "lb.sock")); err != nil {
		t.Errorf("the new process's socket file: %v", err)
	}
}

// TestHandOverKeepsTheSecret: the new process gets the secret of sticky cookies and a key of session tickets. They are not in its
// environment, which other programs can read; only numbers of descriptors are.
func TestHandOverKeepsTheSecret(t *testing.T) {
	dir := t.TempDir()
	command := []string{"/bin/sh", "-c", `tr '\0' '\n' < /proc/$$/environ > "$0/environ"
secret=${LB_HANDOVER##*secret\":}
eval "cat <&${secret%%[!0-9]*}" > "$0/secret"
ready=${LB_HANDOVER##*ready\":}
eval "echo >&${ready%?}"
`, dir}
	lb := startCommand(t, proxyTo("", "127.0.0.1:1"), command...)
	if err := lb.HandOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "secret"))
	if err != nil || len(secret) != 32+8+32 {
		t.Errorf("a secret of %d bytes, %v", len(secret), err)
	}
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil {
		t.Fatal(err)
	}
	var given map[string]any
	for line := range strings.SplitSeq(string(environ), "\n") {
		if text, ok := strings.CutPrefix(line, "LB_HANDOVER="); ok {
			if err := json.Unmarshal([]byte(text), &given); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(given) == 0 {
		t.Fatalf("no LB_HANDOVER in\n%s", environ)
	}
	var numbers func(name string, value any)
	numbers = func(name string, value any) {
		switch v := value.(type) {
		case float64, nil:
		case map[string]any:
			for key, value := range v {
				numbers(name+"."+key, value)
			}
		default:
			t.Errorf("%s is %v, no number", name, value)
		}
	}
	numbers("LB_HANDOVER", given)
}

// TestTakenSecretSigns: cookies that the previous process signed remain valid.
func TestTakenSecretSigns(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	text := proxyTo("  sticky {\n  }\n", b.Addr) // without a configured secret
	cookies := map[string]bool{}
	for range 2 {
		ready, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer ready.Close()
		secret, secretWriter, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer secret.Close()
		if _, err := secretWriter.WriteString(strings.Repeat("s", 32)); err != nil {
			t.Fatal(err)
		}
		secretWriter.Close()
		given, _ := json.Marshal(map[string]any{"ready": highDescriptor(t, writer), "secret": highDescriptor(t, secret)})
		writer.Close()
		t.Setenv("LB_HANDOVER", string(given))
		lb := start(t, text)
		cookie, _, _ := strings.Cut(lb.get("/").Field("Set-Cookie"), ";")
		cookies[cookie] = true
	}
	if len(cookies) != 1 || cookies[""] {
		t.Errorf("cookies by one secret: %v", cookies)
	}
}

// TestStopDuringHandOver: if the balancer is stopped while a new process starts, both end.
func TestStopDuringHandOver(t *testing.T) {
	dir := t.TempDir()
	lb := startCommand(t, proxyTo("", "127.0.0.1:1"), successor(dir)...)
	var result error
	done := make(chan struct{})
	go func() {
		defer close(done)
		result = lb.HandOver(t.Context())
	}()
	lbtest.Eventually(t, "a new process", func() bool { return len(started(t, dir)) > 0 })
	lb.stop()
	if _, err := os.Stat("/proc/" + started(t, dir)[0]); err == nil {
		t.Error("stopped while a new process is on its way")
	}
	lbtest.Wait(t, "the result of the hand-over", done)
	if result == nil {
		t.Error("handed over all the same")
	}
	// If the new process survives nevertheless, it ends soon.
	_ = os.WriteFile(filepath.Join(dir, "serve"), nil, 0o600)
	if err := lb.HandOver(t.Context()); err == nil {
		t.Error("handed over after the end")
	}
}

// TestFailedHandOverChangesNothing: after a new process has ended at once, this one stops as usual.
func TestFailedHandOverChangesNothing(t *testing.T) {
	lb := startCommand(t, "listen \"unix:$DIR/lb.sock\" {}\nadmin {\n  listen = \"unix:$DIR/admin.sock\"\n}\n"+proxyTo("", "127.0.0.1:1"), "/bin/false")
	open := 0
	for i := range 4 {
		if i == 1 {
			open = descriptors(t) // includes what the runtime keeps after the first process
		}
		if err := lb.HandOver(t.Context()); err == nil {
			t.Fatal("/bin/false took over")
		}
	}
	lbtest.Eventually(t, "no descriptor is left over", func() bool { return descriptors(t) <= open })
	lb.stop()
	for _, name := range []string{"lb.sock", "admin.sock"} {
		if _, err := os.Stat(filepath.Join(lb.dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s remains: %v", name, err)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
