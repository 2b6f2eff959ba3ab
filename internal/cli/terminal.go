package cli

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// key is a pressed key.
type key uint8

const (
	keyNone key = iota
	keyQuit
	keyUp
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
)

// terminal is a screen that the program uses until close.
type terminal struct {
	keys    chan key
	resized chan os.Signal

	in, out  *os.File
	state    *term.State // of in; nil if that is not a terminal
	wake     *os.File    // closing it ends the reader
	wakeRead *os.File
	reading  sync.WaitGroup
	stop     chan struct{}
}

// Sequences that enter and leave the alternate screen, which preserves what was shown before, without a cursor.
const (
	takeScreen = "\x1b[?1049h\x1b[?25l"
	giveScreen = "\x1b[?25h\x1b[?1049l"
)

// IsTerminal reports whether a file is a terminal that Show can use.
func IsTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// openTerminal takes over the screen. Keys are read from in if that is a terminal; otherwise there are only signals.
func openTerminal(in, out *os.File) (*terminal, error) {
	t := &terminal{in: in, out: out, keys: make(chan key), resized: make(chan os.Signal, 1), stop: make(chan struct{})}
	if term.IsTerminal(int(in.Fd())) {
		if err := t.openKeys(); err != nil {
			return nil, err
		}
	}
	signal.Notify(t.resized, syscall.SIGWINCH)
	if _, err := out.WriteString(takeScreen); err != nil {
		t.close()
		return nil, fmt.Errorf("cannot write to the terminal: %w", err)
	}
	return t, nil
}

// openKeys turns off line mode and echo, so that each key is reported at once.
func (t *terminal) openKeys() (err error) {
	if t.wakeRead, t.wake, err = os.Pipe(); err != nil {
		return fmt.Errorf("cannot read keys: %w", err)
	}
	if t.state, err = term.MakeRaw(int(t.in.Fd())); err != nil {
		t.wake.Close()
		t.wakeRead.Close()
		return fmt.Errorf("cannot read keys: %w", err)
	}
	t.reading.Go(t.readKeys)
	return nil
}

// close restores the screen.
func (t *terminal) close() {
	signal.Stop(t.resized)
	t.giveBack()
	if t.state == nil {
		return
	}
	close(t.stop)
	t.wake.Close()
	t.reading.Wait()
	t.wakeRead.Close()
}

func (t *terminal) giveBack() {
	_, _ = t.out.WriteString(giveScreen)
	if t.state != nil {
		_ = term.Restore(int(t.in.Fd()), t.state)
	}
}

// restoreOnPanic is deferred by every goroutine that runs while the screen is taken over: a panic could not be read
// there.
func (t *terminal) restoreOnPanic() {
	if p := recover(); p != nil {
		t.giveBack()
		panic(p)
	}
}

// readKeys reports keys until close. It waits for input and for close at the same time, since a read on a terminal
// cannot be interrupted.
func (t *terminal) readKeys() {
	defer t.restoreOnPanic()
	var decoder keyDecoder
	buf := make([]byte, 64)
	for {
		fds := []unix.PollFd{{Fd: int32(t.in.Fd()), Events: unix.POLLIN}, {Fd: int32(t.wakeRead.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || fds[1].Revents != 0 {
			return
		}
		n, err := t.in.Read(buf)
		keys := decoder.decode(buf[:n])
		if err != nil {
			keys = append(keys, keyQuit) // the terminal has been closed
		}
		for _, k := range keys {
			select {
			case t.keys <- k:
			case <-t.stop:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// size returns the terminal's size, or the usual one if it is unknown.
func (t *terminal) size() (width, height int) {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// draw replaces the contents of the screen in one write, which many terminals display at once.
func (t *terminal) draw(lines []string) error {
	var b strings.Builder
	b.WriteString("\x1b[?2026h\x1b[H")
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(line)
		b.WriteString("\x1b[K")
	}
	b.WriteString("\x1b[J\x1b[?2026l")
	_, err := t.out.WriteString(b.String())
	return err
}

// keyDecoder finds keys in the input of a terminal. A sequence may arrive in pieces.
type keyDecoder struct{ sequence []byte } // begun with ESC, not complete

// sequences are what terminals send after ESC for keys without a character.
var sequences = map[string]key{
	"[A": keyUp, "OA": keyUp, "[B": keyDown, "OB": keyDown, "[5~": keyPageUp, "[6~": keyPageDown,
	"[H": keyHome, "OH": keyHome, "[1~": keyHome, "[F": keyEnd, "OF": keyEnd, "[4~": keyEnd,
}

func (d *keyDecoder) decode(input []byte) []key {
	var keys []key
	for _, c := range input {
		k := keyNone
		switch {
		case c == 3: // Ctrl-C, which is no signal in this mode
			d.sequence, k = nil, keyQuit
		case c == 0x1b:
			d.sequence = append(d.sequence[:0], c)
		case len(d.sequence) > 0:
			k = d.proceed(c)
		default:
			k = plainKey(c)
		}
		if k != keyNone {
			keys = append(keys, k)
		}
	}
	return keys
}

// proceed takes one more byte of a sequence, which ends with a letter or a tilde (ECMA-48 section 5.4).
func (d *keyDecoder) proceed(c byte) key {
	d.sequence = append(d.sequence, c)
	opens := len(d.sequence) == 2
	if opens && (c == '[' || c == 'O') {
		return keyNone
	}
	if !opens && c >= 0x20 && c < 0x40 && len(d.sequence) < 16 {
		return keyNone
	}
	k := sequences[string(d.sequence[1:])]
	d.sequence = d.sequence[:0]
	if opens && k == keyNone {
		return plainKey(c) // Escape alone, and then a key
	}
	return k
}

func plainKey(c byte) key {
	switch c {
	case 'q', 'Q':
		return keyQuit
	case 'k':
		return keyUp
	case 'j':
		return keyDown
	case ' ':
		return keyPageDown
	case 'b':
		return keyPageUp
	case 'g':
		return keyHome
	case 'G':
		return keyEnd
	}
	return keyNone
}
