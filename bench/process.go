package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startLimit is how long a program may take to respond to its first request.
const startLimit = 10 * time.Second

// fleet starts programs, and stops what it started and nothing else. It is for one goroutine, which must
// be locked to its thread.
type fleet struct {
	dir      string        // of the programs' logs
	patience time.Duration // between SIGTERM and SIGKILL
	running  []*process
}

// process is one started program with all its children: they form a process group of their own.
type process struct {
	name    string
	pid     int
	log     string // path of what it wrote to stdout and stderr
	program *os.Process
	exited  chan struct{} // closed when the program has ended and its status has been collected
}

// start runs a program in a process group of its own, so that Ctrl-C reaches the harness alone and stop
// reaches the program's children. Should the harness itself be killed, the kernel sends SIGTERM in its place.
func (f *fleet) start(name string, env []string, argv ...string) (*process, error) {
	log, err := os.CreateTemp(f.dir, name+"-*.log")
	if err != nil {
		return nil, fmt.Errorf("cannot create a log for %q: %w", name, err)
	}
	defer log.Close()
	command := exec.Command(argv[0], argv[1:]...)
	command.Env = append(os.Environ(), env...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %q: %w", name, err)
	}
	p := &process{name: name, pid: command.Process.Pid, log: log.Name(), program: command.Process, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		awaitEnd(p.pid)
		// The dead leader keeps its number until Wait, so the group can be no other than ours. It has
		// members left when nginx's master was killed and its workers were not.
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
		_ = command.Wait() // The log says more than the status.
	}()
	f.running = append(f.running, p)
	return p, nil
}

// awaitEnd returns when the child has ended, and leaves its status, and so its number, to be collected.
func awaitEnd(pid int) {
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			return
		}
	}
}

// stop sends SIGTERM and waits until the program and its group have ended, with SIGKILL when patience
// ends. It is safe to call again.
func (f *fleet) stop(p *process) {
	f.running = slices.DeleteFunc(f.running, func(other *process) bool { return other == p })
	_ = p.program.Signal(syscall.SIGTERM) // An error says that it has ended already.
	select {
	case <-p.exited:
		return
	case <-time.After(f.patience):
	}
	_ = p.program.Kill()
	<-p.exited
}

func (f *fleet) stopAll() {
	for len(f.running) > 0 {
		f.stop(f.running[len(f.running)-1])
	}
}

// waitReady returns when the check succeeds, or says why it does not: the end of the program's log included.
func (p *process) waitReady(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var last error
	for {
		if last = briefly(ctx, check); last == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended while it started: %s", p.name, p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not respond as it should: %w: %s", p.name, last, p.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func briefly(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return check(ctx)
}

// logTail is the end of what the program wrote, for an error message.
func (p *process) logTail() string {
	content, err := os.ReadFile(p.log)
	if err != nil || len(bytes.TrimSpace(content)) == 0 {
		return "(it wrote nothing)"
	}
	return oneLine(content)
}

// oneLine is the end of a program's output with its white space folded.
func oneLine(output []byte) string {
	const limit = 600
	text := bytes.Join(bytes.Fields(output), []byte(" "))
	if len(text) > limit {
		text = text[len(text)-limit:]
	}
	return strings.ToValidUTF8(string(text), "")
}

// freeAddress finds an unused loopback port, below the range from which the kernel takes
// the ports of outgoing connections: one from that range could be taken again before it is used.
func freeAddress() (string, error) {
	for range 200 {
		address := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		return address, listener.Close()
	}
	return "", errors.New("cannot find a free port between 10000 and 30000")
}

// findProgram looks in PATH and where Debian puts daemons, which is not in every user's PATH.
func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}
