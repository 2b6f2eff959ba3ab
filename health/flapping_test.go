package health

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFlapping: five flips within a minute are reported once, then a summary once a minute, and the end. Each flip to
// down doubles the passes that are needed, up to eight times rise.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript(), &recorder{}
		config := tcpConfig
		config.Interval = 500 * time.Millisecond
		// Flips 1 to 5 need rise or fall; the fifth is to down, and the backend then needs twice rise.
		s.set("a:1", "u"+"ddd"+"uu"+"ddd"+"uu"+"ddd"+strings.Repeat("u", 4)+
			"ddd"+strings.Repeat("u", 8)+"ddd"+strings.Repeat("u", 16)+strings.Repeat("ddd"+strings.Repeat("u", 16), 10)+"u")
		checker := New(Options{Config: config, Pool: r, Dial: s.dial})
		checker.Join(backend("a:1"))
		checker.Start(t.Context())
		time.Sleep(5 * time.Minute)
		synctest.Wait()

		var needed []string
		flips := r.all()
		for _, f := range flips[1:] {
			if f.up {
				needed = append(needed, strings.Fields(f.reason)[0])
			}
		}
		if got, want := strings.Join(needed, " "), "2 2 4 8 16 16 16 16 16 16 16 16 16 16 16"; got != want {
			t.Errorf("passes to come back %s, want %s", got, want)
		}
		want := []string{
			"true: 5 changes of state within 5s; comes back after 4 passes in a row",
			"true: 14 changes of state within 1m0s; comes back after 16 passes in a row",
			"true: 11 changes of state within 1m0s; comes back after 16 passes in a row",
			"false: no change of state for 1m0s",
		}
		if strings.Join(r.flaps, "\n") != strings.Join(want, "\n") {
			t.Errorf("reported\n%s\nwant\n%s", strings.Join(r.flaps, "\n"), strings.Join(want, "\n"))
		}

		s.set("a:1", "ddd"+"uuu") // another failure, much later, is a normal one
		time.Sleep(time.Minute)
		checker.Stop()
		if f := r.all(); len(f) != len(flips)+2 || f[len(f)-1].reason != "2 checks passed in a row" {
			t.Errorf("after the end: %v", f[len(flips):])
		}
		if len(r.flaps) != len(want) {
			t.Errorf("reported %q after the end", r.flaps[len(want):])
		}
	})
}

// TestSlowFlipsAreNoFlapping: five flips in more than the window, and a first result, which is no flip.
func TestSlowFlipsAreNoFlapping(t *testing.T) {
	s := newSettings(Config{})
	f := &flapping{}
	now := time.Unix(1000, 0)
	for i := range 50 {
		f.flip(now, i%2 == 0)
		if text, on := f.report(now, s); text != "" || on {
			t.Fatalf("change %d: %q", i, text)
		}
		now = now.Add(16 * time.Second)
	}
	if got := f.rise(2); got != 2 {
		t.Errorf("needs %d passes, want 2", got)
	}
	long := newSettings(Config{Interval: 10 * time.Second})
	f.flip(now, true)
	if text, on := f.report(now, long); !on {
		t.Errorf("%q with an interval of 10s, want flapping within five minutes", text)
	}
}
