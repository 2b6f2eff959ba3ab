package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain also runs the programs that the harness starts: itself, and a server to measure.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		var err error
		switch os.Args[1] {
		case handshakesArgument:
			err = generateHandshakes(context.Background(), os.Args[2:], os.Stdout)
		case serveArgument:
			err = serve(os.Args[2:])
		default:
			goleak.VerifyTestMain(m)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// newFleet returns a fleet that is stopped when the test ends. The test must stay on the thread that starts the programs.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	runtime.LockOSThread()
	f := &fleet{dir: t.TempDir(), patience: 5 * time.Second}
	t.Cleanup(func() {
		f.stopAll()
		runtime.UnlockOSThread()
	})
	return f
}

// eventually polls for ten seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// shell starts a script that writes the number of a child to the file "child".
func shell(t *testing.T, f *fleet, script string) (p *process, child int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "child")
	p, err := f.start("shell", []string{"CHILD=" + file}, "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child runs", func() bool {
		content, _ := os.ReadFile(file)
		child, err = strconv.Atoi(strings.TrimSpace(string(content)))
		return err == nil && strings.HasSuffix(string(content), "\n")
	})
	return p, child
}

// hasEnded reports whether the process has ended, a zombie included.
func hasEnded(pid int) bool {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(line), ") Z ")
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	tests := []struct{ name, script string }{
		{"leader and child obey", `sleep 300 & echo $! >$CHILD; wait`},
		{"child ignores SIGTERM", `(trap '' TERM; exec sleep 300) & echo $! >$CHILD; wait`},
		{"leader ignores SIGTERM", `trap '' TERM; sleep 300 & echo $! >$CHILD; while :; do sleep 300; done`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFleet(t)
			f.patience = 100 * time.Millisecond
			p, child := shell(t, f, test.script)
			f.stop(p)
			eventually(t, "leader and child end", func() bool { return hasEnded(p.pid) && hasEnded(child) })
			f.stop(p) // A second time is harmless.
			if len(f.running) != 0 {
				t.Errorf("the fleet still lists %d programs", len(f.running))
			}
		})
	}
}

func TestGroupEndsWithItsLeader(t *testing.T) {
	f := newFleet(t)
	p, child := shell(t, f, `sleep 300 & echo $! >$CHILD; wait`)
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan ends", func() bool { return hasEnded(child) })
}

func TestStopAllStopsNothingElse(t *testing.T) {
	mine, other := newFleet(t), newFleet(t)
	p, _ := shell(t, mine, `sleep 300 & echo $! >$CHILD; wait`)
	bystander, _ := shell(t, other, `sleep 300 & echo $! >$CHILD; wait`)
	mine.stopAll()
	if !hasEnded(p.pid) {
		t.Error("the fleet's own program still runs")
	}
	if hasEnded(bystander.pid) {
		t.Error("a program that the fleet had not started has ended")
	}
}

func TestWaitReadySaysWhyNot(t *testing.T) {
	f := newFleet(t)
	p, err := f.start("broken", nil, "/bin/sh", "-c", "echo no such option >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	err = p.waitReady(t.Context(), scenario{path: "/"}.checked(&running{address: address}))
	if err == nil || !strings.Contains(err.Error(), "no such option") {
		t.Errorf("error %v does not quote the program", err)
	}
}

func TestWaitReadyEndsWithContext(t *testing.T) {
	f := newFleet(t)
	p, err := f.start("mute", nil, "/bin/sleep", "300")
	if err != nil {
		t.Fatal(err)
	}
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.waitReady(ctx, scenario{path: "/"}.checked(&running{address: address})); err == nil {
		t.Error("ready, though nothing listens")
	}
}

func TestStartOfNoProgram(t *testing.T) {
	f := newFleet(t)
	if _, err := f.start("absent", nil, filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one that says the file does not exist", err)
	}
}
