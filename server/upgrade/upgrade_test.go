package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"lb/internal/lbtest"
)

// actAs names what this test binary does when an Offer starts it.
const actAs = "LB_UPGRADE_TEST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(actAs); dir != "" {
		if err := succeed(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// succeed is a new process: it takes everything over, and writes what that was to a file in dir.
func succeed(dir string) error {
	taken, err := TakeOver()
	if err != nil {
		return err
	}
	if os.Getenv(variable) != "" || os.Getenv("LISTEN_FDS") != "" {
		return errors.New("the environment says still what was for the process before")
	}
	inherited := map[string]net.Listener{}
	if err := taken.Listeners([]Wanted{{Address: "wanted"}}, inherited); err != nil {
		return err
	}
	ln, err := taken.Admin("admin")
	if err != nil {
		return err
	}
	again, err := taken.Admin("admin")
	if again != nil || err != nil {
		return fmt.Errorf("the admin listener was given twice: %v", err)
	}
	taken.CloseRest()
	var overrides []byte
	if err := taken.Overrides(func(r io.Reader) (err error) { overrides, err = io.ReadAll(r); return err }); err != nil {
		return err
	}
	text := fmt.Sprintf("%d %s %s %s %s", len(inherited), inherited["wanted"].Addr(), ln.Addr(), taken.Secret(), overrides)
	if err := os.WriteFile(filepath.Join(dir, "taken"), []byte(text), 0o600); err != nil {
		return err
	}
	taken.Done()
	return nil
}

// listening returns an address and a file of a socket that listens there.
func listening(t *testing.T) (string, *os.File) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	return ln.Addr().String(), f
}

// TestHandOver: sockets, secret and overrides arrive in the new process, and the call returns when it serves.
func TestHandOver(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(actAs, dir)
	t.Setenv("LISTEN_FDS", "1")
	wanted, wantedFile := listening(t)
	_, unwantedFile := listening(t)
	admin, adminFile := listening(t)
	o := Offer{
		Command: []string{os.Args[0]}, Listeners: map[string]*os.File{"wanted": wantedFile, "unwanted": unwantedFile},
		Admin: map[string]*os.File{"admin": adminFile}, Secret: []byte("secret"),
		Overrides: func(w io.Writer) error { _, err := io.WriteString(w, "overrides"); return err },
	}
	defer o.Close()
	pid, err := o.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Errorf("the new process ended with %v, %v", status.ExitStatus(), err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "taken"))
	if want := strings.Join([]string{"1", wanted, admin, "secret", "overrides"}, " "); string(text) != want || err != nil {
		t.Errorf("it took over %q, want %q, %v", text, want, err)
	}
}

// TestFailedHandOver: a program that ends, cannot be started or is no longer wanted is an error, and leaves no process and
// no descriptor.
func TestFailedHandOver(t *testing.T) {
	stopped := errors.New("stopped")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(stopped)
	for _, c := range []struct {
		name, script string
		ctx          context.Context
		overrides    error
		want         string
	}{
		{"ends", "exit 7", t.Context(), nil, "it ended before it served (exit status 7)"},
		{"ends well", "exit 0", t.Context(), nil, "it ended before it served (exit status 0)"},
		{"waits", "exec sleep 60", ctx, nil, "stopped (signal: killed)"},
		{"asks in vain", `ready=${LB_HANDOVER##*ready\":}; eval "printf o >&${ready%?}"; exec sleep 60`, t.Context(), errors.New("none"),
			"cannot send it the overrides of the backends: none (signal: killed)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Offer{Command: []string{"/bin/sh", "-c", c.script}, Overrides: func(io.Writer) error { return c.overrides }}
			open := 0
			for i := range 3 {
				if i == 1 {
					open = openDescriptors(t) // with what the runtime keeps after the first process
				}
				if _, err := o.Start(c.ctx); err == nil || err.Error() != c.want {
					t.Errorf("%v, want %s", err, c.want)
				}
			}
			lbtest.Eventually(t, "no descriptor is left over", func() bool { return openDescriptors(t) <= open })
		})
	}
	if _, err := (&Offer{Command: []string{"/nowhere"}}).Start(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestNothingTaken: a process that was started as usual takes nothing over, and says so by nil, which has nothing.
func TestNothingTaken(t *testing.T) {
	taken, err := TakeOver()
	if taken != nil || err != nil {
		t.Fatalf("%v, %v", taken, err)
	}
	ln, err := taken.Admin("a")
	if ln != nil || err != nil || taken.Secret() != nil || len(taken.Addresses()) != 0 {
		t.Error("there is something")
	}
	inherited := map[string]net.Listener{}
	if err := taken.Listeners([]Wanted{{Address: "a"}}, inherited); err != nil || len(inherited) != 0 {
		t.Errorf("%v, %v", inherited, err)
	}
	if err := taken.Overrides(func(io.Reader) error { return errors.New("asked") }); err != nil {
		t.Error(err)
	}
	taken.CloseRest()
	taken.Done()
	t.Setenv(variable, "{")
	if _, err := TakeOver(); err == nil || !strings.Contains(err.Error(), "cannot take over: "+variable) {
		t.Errorf("what cannot be read: %v", err)
	}
}

// TestMatching: a socket of the service manager goes to the listener of its port and host, if the check agrees.
func TestMatching(t *testing.T) {
	misfit := errors.New("other families")
	for _, c := range []struct {
		network, bound string
		wanted         string // PORT stands for that of the socket
		check          error
		ok             bool
		failure        string
	}{
		{"tcp4", "127.0.0.1:0", "127.0.0.1:PORT", nil, true, ""},
		{"tcp4", "127.0.0.1:0", ":PORT", nil, false, "no listen block has"},
		{"tcp4", "127.0.0.1:0", "127.0.0.1:1", nil, false, "no listen block has"},
		{"tcp4", "0.0.0.0:0", ":PORT", nil, true, ""},
		{"tcp4", "0.0.0.0:0", ":PORT", misfit, false, "other families: see BindIPv6Only"},
		{"unix", "SOCKET", "unix:SOCKET", nil, true, ""},
		{"unix", "SOCKET", "unix:SOCKET2", nil, false, "no listen block has"},
	} {
		path := filepath.Join(t.TempDir(), "s")
		ln, err := net.Listen(c.network, strings.ReplaceAll(c.bound, "SOCKET", path))
		if err != nil {
			t.Fatal(err)
		}
		wanted := strings.ReplaceAll(c.wanted, "SOCKET", path)
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
			wanted = strings.ReplaceAll(wanted, "PORT", fmt.Sprint(tcp.Port))
		}
		got, err := matching(ln, []Wanted{{Address: "unix:/other"}, {Address: wanted}}, func(net.Listener, Wanted) error { return c.check })
		ln.Close()
		if c.ok && (got != wanted || err != nil) || !c.ok && (err == nil || !strings.Contains(err.Error(), c.failure)) {
			t.Errorf("%s for %s: %q, %v", c.bound, c.wanted, got, err)
		}
	}
}
