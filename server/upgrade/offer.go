package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Offer is what a process hands over to a new one.
type Offer struct {
	Command   []string            // the program, by its absolute path, and its arguments
	Listeners map[string]*os.File // by the address as configured
	Admin     map[string]*os.File // none, or one
	Packets   map[string]Packets  // by the address as configured
	Secret    []byte              // short: a pipe holds at least a page
	// Overrides writes what was set for the backends at run time. It is called when the new process asks for that, which
	// it does when it is about to serve.
	Overrides func(w io.Writer) error
}

// Packets is a UDP socket that is handed over, with a link to the process that has connections on it, and the tags of those.
type Packets struct {
	UDP, Link *os.File
	Tags      []byte
}

// Close closes the files of the offer.
func (o *Offer) Close() {
	for _, f := range o.Listeners {
		f.Close()
	}
	for _, f := range o.Admin {
		f.Close()
	}
	for _, p := range o.Packets {
		p.UDP.Close()
		p.Link.Close()
	}
}

// Start starts the program and returns the id of its process once that serves. On an error the new process has ended; the
// end of ctx is one.
func (o *Offer) Start(ctx context.Context) (pid int, err error) {
	cmd := exec.Command(o.Command[0], o.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	give := func(f *os.File) int {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		return 2 + len(cmd.ExtraFiles)
	}
	giveAll := func(files map[string]*os.File) map[string]int {
		numbers := map[string]int{}
		for address, f := range files {
			numbers[address] = give(f)
		}
		return numbers
	}
	given := descriptors{Listeners: giveAll(o.Listeners), Admin: giveAll(o.Admin)}
	for address, p := range o.Packets {
		if given.Packets == nil {
			given.Packets = map[string]packetDescriptors{}
		}
		given.Packets[address] = packetDescriptors{UDP: give(p.UDP), Link: give(p.Link), Tags: p.Tags}
	}
	ready, readyWriter, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	defer readyWriter.Close()
	given.Ready = give(readyWriter)
	overrides, overridesWriter, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer overrides.Close()
	defer overridesWriter.Close()
	given.Overrides = give(overrides)
	secret, err := filledPipe(o.Secret)
	if err != nil {
		return 0, err
	}
	defer secret.Close()
	given.Secret = give(secret)
	if cmd.Env, err = environment(given); err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	readyWriter.Close() // so that the pipe ends with the new process
	overrides.Close()   // so that writing to it does
	if err := o.awaitReady(ctx, ready, overridesWriter); err != nil {
		_ = cmd.Process.Kill()
		return 0, fmt.Errorf("%w (%s)", err, ending(cmd.Wait()))
	}
	pid = cmd.Process.Pid
	return pid, cmd.Process.Release() // it outlives us
}

// filledPipe returns a pipe to read content from.
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

// ending describes how a process ended.
func ending(waited error) string {
	if waited == nil {
		return "exit status 0"
	}
	return waited.Error()
}

// environment is ours without what holds for this process alone.
func environment(given descriptors) ([]string, error) {
	text, err := json.Marshal(given)
	if err != nil {
		return nil, err
	}
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		// The service manager's sockets are ours by now, and without a process id its watchdog means
		// the service's main process, whichever that is.
		case "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", variable:
			return true
		}
		return false
	})
	return append(env, variable+"="+string(text)), nil
}

// awaitReady waits for the byte that says that the new process serves, and sends it the overrides when it asks for them.
func (o *Offer) awaitReady(ctx context.Context, ready, overrides *os.File) error {
	_ = ready.SetReadDeadline(time.Now().Add(Patience))
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	var said [1]byte
	_, err := ready.Read(said[:])
	if err == nil && said[0] == overridesWanted {
		if err := o.sendOverrides(overrides); err != nil {
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
		return fmt.Errorf("it did not serve within %v", Patience)
	case errors.Is(err, io.EOF):
		return errors.New("it ended before it served")
	default:
		return err
	}
}

func (o *Offer) sendOverrides(w *os.File) error {
	defer w.Close()
	_ = w.SetWriteDeadline(time.Now().Add(Patience))
	return o.Overrides(w)
}
