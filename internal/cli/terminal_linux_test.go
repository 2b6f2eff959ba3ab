package cli

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// shown runs Show on a pseudo-terminal.
func shown(t *testing.T, ctx context.Context, top *Top, tty *lbtest.Terminal) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- top.Show(ctx, tty.File, tty.File) }()
	lbtest.Eventually(t, "the table", func() bool { return strings.Contains(tty.Output(), "127.0.0.1:5001") })
	return ended
}

// TestTopShow: the terminal is restored however lb top ends.
func TestTopShow(t *testing.T) {
	client := fleet(t)
	for what, end := range map[string]func(tty *lbtest.Terminal, cancel func()){
		"q":         func(tty *lbtest.Terminal, _ func()) { tty.Type(t, "xq") },
		"Ctrl-C":    func(tty *lbtest.Terminal, _ func()) { tty.Type(t, "\x03") },
		"a signal":  func(_ *lbtest.Terminal, cancel func()) { cancel() },
		"all looks": func(*lbtest.Terminal, func()) {},
	} {
		tty := lbtest.NewTerminal(t, 80, 24)
		before := tty.Mode(t)
		ctx, cancel := context.WithCancel(t.Context())
		top := &Top{Client: client, Interval: 10 * time.Millisecond}
		if what == "all looks" {
			top.Rounds = 3
		}
		ended := shown(t, ctx, top, tty)
		end(tty, cancel)
		if err, ok := lbtest.Wait(t, what, ended); !ok || err != nil {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
		if tty.Mode(t) != before {
			t.Errorf("%s: the terminal's mode has changed", what)
		}
		lbtest.Eventually(t, "the screen is given back", func() bool { return strings.HasSuffix(tty.Output(), giveScreen) })
		if out := tty.Output(); !strings.HasPrefix(out, takeScreen) || strings.Count(out, takeScreen) != 1 || strings.Count(out, giveScreen) != 1 {
			t.Errorf("%s: the screen is not taken and given back once: %.200q", what, out)
		}
	}
}

func TestTopShowScrollsAndResizes(t *testing.T) {
	tty := lbtest.NewTerminal(t, 100, 7)
	ended := shownSmall(t, tty)
	tty.Type(t, "\x1b[B")
	lbtest.Eventually(t, "the second row at the top", func() bool { return strings.Contains(tty.Output(), "2 to 3 of 5") })
	tty.Resize(t, 100, 30)
	// The terminal is not that of this process, so that only the test sends signals.
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "all rows", func() bool {
		_, last, _ := cutLast(tty.Output(), "\x1b[?2026h")
		return strings.Contains(last, "unix:/run/app.sock") && strings.Contains(last, "q quits") && !strings.Contains(last, "scroll")
	})
	tty.Type(t, "q")
	if err, _ := lbtest.Wait(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

func shownSmall(t *testing.T, tty *lbtest.Terminal) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	top := &Top{Client: fleet(t), Interval: time.Hour} // what is drawn is drawn because of a key or the size
	go func() { ended <- top.Show(t.Context(), tty.File, tty.File) }()
	lbtest.Eventually(t, "the table", func() bool { return strings.Contains(tty.Output(), "1 to 2 of 5") })
	return ended
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// TestTopShowRestoresAfterPanic: the message of a panic must be readable.
func TestTopShowRestoresAfterPanic(t *testing.T) {
	tty := lbtest.NewTerminal(t, 80, 24)
	before := tty.Mode(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		term, err := openTerminal(tty.File, tty.File)
		if err != nil {
			t.Fatal(err)
		}
		defer term.close()
		if tty.Mode(t) == before {
			t.Error("keys are not read one by one")
		}
		func() {
			defer term.restoreOnPanic()
			panic("a mistake")
		}()
	}()
	if tty.Mode(t) != before {
		t.Error("the terminal's mode has changed")
	}
	lbtest.Eventually(t, "the screen is given back", func() bool { return strings.HasSuffix(tty.Output(), giveScreen) })
}

// TestTopShowWithoutServer: an error message does not switch to the full screen.
func TestTopShowWithoutServer(t *testing.T) {
	tty := lbtest.NewTerminal(t, 80, 24)
	top := &Top{Client: &Client{Addr: "127.0.0.1:1"}, Interval: time.Second}
	if err := top.Show(t.Context(), tty.File, tty.File); err == nil || tty.Output() != "" {
		t.Errorf("%v, %q", err, tty.Output())
	}
}
