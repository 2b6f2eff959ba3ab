package progress

import (
	"errors"
	"os"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	const s = time.Second
	type move struct {
		n    int
		wait time.Duration
		ok   bool
	}
	for name, moves := range map[string][]move{
		"fast enough":                {{1000, s, true}, {9000, 9 * s, true}, {10000, 10 * s, true}},
		"slow in one window":         {{1000, s, true}, {8000, 9 * s, false}},
		"a new window":               {{50000, 10 * s, true}, {1, 9 * s, true}, {1, s, false}},
		"nobody waits":               {{1, 0, true}, {1, 0, true}, {1, 9 * s, true}},
		"one long wait, few bytes":   {{1, 60 * s, false}},
		"one long wait, enough then": {{60000, 60 * s, true}},
	} {
		p := Pace{Rate: 1000, Window: 10 * s}
		for i, m := range moves {
			if ok := p.Moved(m.n, m.wait); ok != m.ok {
				t.Errorf("%s: move %d is %v", name, i, ok)
			}
		}
	}
	var none Pace
	if !none.Moved(0, time.Hour) {
		t.Error("a pace of zero found somebody")
	}
}

// TestWritePace: a peer that takes a little now and then, so that no write is ever idle, is found out.
func TestWritePace(t *testing.T) {
	c, peer := sockets(t)
	c.SetWritePace(1<<30, 50*time.Millisecond)
	go func() {
		buf := make([]byte, 1<<10)
		for {
			if _, err := peer.Read(buf); err != nil {
				return
			}
			time.Sleep(time.Millisecond) // the peer's own pace
		}
	}()
	_, err := c.WriteParts(nil, make([]byte, 64<<20), nil, 20*time.Second)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing to a slow peer: %v", err)
	}
}
