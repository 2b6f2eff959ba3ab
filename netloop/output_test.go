package netloop

import (
	"io"
	"os"
	"testing"
)

// narrow is a stream that takes room bytes until there is more room.
type narrow struct {
	Stream
	loop *Loop
	room int
	sent string
}

func (s *narrow) Loop() *Loop   { return s.loop }
func (s *narrow) Buffered() int { return 0 }

func (s *narrow) Write(head, body []byte) (int, error) {
	all := string(head) + string(body)
	n := min(len(all), s.room)
	s.room -= n
	s.sent += all[:n]
	if n < len(all) {
		return n, ErrWouldBlock
	}
	return n, nil
}

// TestOutputOrder: what is written while output of any kind is pending is sent after it, or not at all.
func TestOutputOrder(t *testing.T) {
	l := startLoops(t, Options{Loops: 1}).All()[0]
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	on(t, l, func() {
		s := &narrow{loop: l, room: 3}
		var o Output
		write := func(head, body string, stable bool) {
			if _, err := o.Write(s, []byte(head), []byte(body), stable); err != nil {
				t.Error(err)
			}
		}
		write("a1 ", "b1 ", true)
		write("a2 ", "b2 ", true)
		write("a3 ", "b3 ", false)
		write("", "b4 ", true)
		write("a5", "", false)
		s.room = 1000
		if _, err := o.Flush(s); err != nil || o.Pending() || s.sent != "a1 b1 a2 b2 a3 b3 b4 a5" {
			t.Errorf("sent %q, %v", s.sent, err)
		}
		s.room, s.sent = 0, ""
		write("a", "b", true)
		if _, err := o.SendFile(nil, file, 0, 10); err != nil {
			t.Error(err)
		}
		if _, err := o.Write(s, []byte("c"), nil, false); err == nil || err == ErrWouldBlock || err == io.EOF {
			t.Errorf("a write after a file: %v", err)
		}
		o.Drop(l)
	})
}
