package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lb/front"
	"lb/pool"
)

// handoverVariable tells a new process which descriptors it takes over from the one that started it.
const handoverVariable = "LB_HANDOVER"

// handover is what stands in that variable: descriptor numbers and nothing else, since other programs can read a process's
// environment (/proc/PID/environ).
type handover struct {
	Listeners map[string]int `json:"listeners"` // by the address as configured
	Admin     map[string]int `json:"admin"`     // none, or one
	Secret    int            `json:"secret"`    // where to read Server.stickySecret; 0: nowhere
	Overrides int            `json:"orders"`    // a pipe with pool.Pool.Overrides by pool, to read after writing overridesWanted; 0: none
	Ready     int            `json:"ready"`     // where a byte is written once the new process serves

	stickySecret []byte // what was read from Secret
}

const (
	// handoverTime is how long a new process may take until it serves.
	handoverTime = 30 * time.Second
	// firstProbes is how long a process that takes over waits to know its backends; the one
	// before it serves meanwhile.
	firstProbes = 3 * time.Second
)

// errCannotHandOver says that this program is not one that a new one can be started from.
var errCannotHandOver = errors.New("this process does not know which program to start")

// errStopping and errHandedOver say that this process takes on nothing new.
var (
	errStopping   = errors.New("this process is stopping")
	errHandedOver = errors.New("a new process serves already")
)

// settled returns why nothing is to change any more, nil if it may. The caller holds reloading.
func (s *Server) settled() error {
	switch {
	case s.handedOver.Load():
		return errHandedOver
	case s.stopping.Err() != nil:
		return errStopping
	}
	return nil
}

// HandOver starts the program anew, hands it the listening sockets, and returns when it serves; what
// is left to do here is Stop. On an error the new process is gone and nothing has changed. Stop ends it early.
func (s *Server) HandOver(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.settled(); err != nil {
		s.log.Error("cannot hand over", "error", err)
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	defer s.releaseChanges()
	if len(s.opt.Command) == 0 {
		return errCannotHandOver
	}
	s.log.Info("handing over to a new process", "program", s.opt.Command[0])
	pid, err := s.startSuccessor(ctx)
	if err != nil {
		s.log.Error("the new process did not take over; this one continues", "error", err)
		return err
	}
	s.handedOver.Store(true)
	s.front.LeaveFiles()
	if s.admin != nil {
		front.LeaveFile(s.admin.listener)
	}
	s.notify(fmt.Sprintf("MAINPID=%d\nREADY=1", pid))
	s.log.Info("a new process serves", "pid", pid)
	return nil
}

// startSuccessor returns the new process's id once it serves.
func (s *Server) startSuccessor(ctx context.Context) (pid int, err error) {
	cmd := exec.Command(s.opt.Command[0], s.opt.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var given handover
	give := func(f *os.File) int {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		return 2 + len(cmd.ExtraFiles)
	}
	defer func() {
		for _, f := range cmd.ExtraFiles {
			f.Close()
		}
	}()
	files, err := s.front.Files()
	if err != nil {
		return 0, err
	}
	given.Listeners = map[string]int{}
	for address, file := range files {
		given.Listeners[address] = give(file)
	}
	if a := s.admin; a != nil {
		file, err := front.Duplicate(a.listener)
		if err != nil {
			return 0, fmt.Errorf("cannot hand over the admin listener: %w", err)
		}
		given.Admin = map[string]int{a.config.Listen: give(file)}
	}
	ready, readyWriter, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	given.Ready = give(readyWriter)
	overrides, overridesWriter, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer overridesWriter.Close()
	given.Overrides = give(overrides)
	secret, err := filledPipe(s.stickySecret)
	if err != nil {
		return 0, err
	}
	given.Secret = give(secret)
	if cmd.Env, err = environment(given); err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	readyWriter.Close() // so that the pipe ends with the new process
	overrides.Close()   // so that writing to it does
	if err := s.awaitReady(ctx, ready, overridesWriter); err != nil {
		_ = cmd.Process.Kill()
		return 0, fmt.Errorf("%w (%s)", err, ending(cmd.Wait()))
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release() // it outlives us
}

// filledPipe returns a pipe to read content from, which must be short: a pipe holds at least a page.
func filledPipe(content []byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Write(content); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// ending tells how a process ended.
func ending(waited error) string {
	if waited == nil {
		return "exit status 0"
	}
	return waited.Error()
}

// environment is ours without what holds for this process alone.
func environment(given handover) ([]string, error) {
	text, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		// The service manager's sockets are ours by now, and without a process id its watchdog means
		// whoever is the service's main process.
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", handoverVariable:
			return true
		}
		return false
	})
	return append(env, handoverVariable+"="+string(text)), nil
}

// awaitReady waits for the byte that says that the new process serves, and sends it the overrides when it asks for them.
func (s *Server) awaitReady(ctx context.Context, ready, overrides *os.File) error {
	_ = ready.SetReadDeadline(time.Now().Add(handoverTime))
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	var said [1]byte
	_, err := ready.Read(said[:])
	if err == nil && said[0] == overridesWanted {
		if err := s.sendOverrides(overrides); err != nil {
			return fmt.Errorf("cannot send it the overrides of the backends: %w", err)
		}
		_, err = ready.Read(said[:])
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it did not serve within %v", handoverTime)
	case errors.Is(err, io.EOF):
		return errors.New("it ended before it served")
	default:
		return err
	}
}

// takenOver returns what another process hands over; nil if none does.
func takenOver() (*handover, error) {
	text, ok := os.LookupEnv(handoverVariable)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(handoverVariable)
	h := &handover{}
	if err := json.Unmarshal([]byte(text), h); err != nil {
		return nil, fmt.Errorf("cannot take over: %s: %w", handoverVariable, err)
	}
	if h.Secret != 0 {
		r := os.NewFile(uintptr(h.Secret), "secret")
		defer r.Close()
		var err error
		if h.stickySecret, err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("cannot take over the secret of sticky cookies: %w", err)
		}
	}
	unix.CloseOnExec(h.Ready)
	if h.Overrides != 0 {
		unix.CloseOnExec(h.Overrides)
	}
	return h, nil
}

// secret is what signs cookies: that of the process before, so that they stay good, or a new one.
func (h *handover) secret() []byte {
	if h != nil && len(h.stickySecret) > 0 {
		return h.stickySecret
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// listeners adds the sockets that are wanted to those inherited. The others are closed:
// the process before still serves who has connected to them.
func (h *handover) listeners(wanted []front.ListenerOptions, inherited map[string]net.Listener) error {
	if h == nil {
		return nil
	}
	for address, fd := range h.Listeners {
		ln, err := fromDescriptor(fd)
		if err != nil {
			return fmt.Errorf("cannot take over the listener %q: %w", address, err)
		}
		if slices.ContainsFunc(wanted, func(o front.ListenerOptions) bool { return o.Address == address }) {
			inherited[address] = ln
		} else {
			ln.Close()
		}
	}
	return nil
}

// takeAdmin returns the admin listener for address if it is handed over; else nil. It does so once: the
// descriptor's number means something else afterwards.
func (h *handover) takeAdmin(address string) (net.Listener, error) {
	if h == nil {
		return nil, nil
	}
	fd, ok := h.Admin[address]
	if !ok {
		return nil, nil
	}
	delete(h.Admin, address)
	return fromDescriptor(fd)
}

// closeRest closes an admin listener that nobody wants: its clients would hang.
func (h *handover) closeRest() {
	if h == nil {
		return
	}
	for _, fd := range h.Admin {
		_ = unix.Close(fd)
	}
	h.Admin = nil
}

func fromDescriptor(fd int) (net.Listener, error) {
	file := os.NewFile(uintptr(fd), "listener")
	if file == nil {
		return nil, unix.EBADF
	}
	defer file.Close()
	return net.FileListener(file)
}

// done tells the process before that this one serves.
func (h *handover) done() {
	if h == nil {
		return
	}
	ready := os.NewFile(uintptr(h.Ready), "ready")
	_, _ = ready.Write([]byte{1})
	_ = ready.Close()
}

// awaitFirstProbes waits until the health checks have looked at every backend, or for long enough.
func (s *Server) awaitFirstProbes() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(firstProbes); time.Now().Before(end) && s.unknownBackends(); {
		<-tick.C
	}
}

func (s *Server) unknownBackends() bool {
	for _, run := range s.current.Load().pools {
		for _, b := range run.pool.Backends() {
			if b.ActiveState() == pool.ActiveUnknown && b.AdminState() != pool.Maint {
				return true
			}
		}
	}
	return false
}
