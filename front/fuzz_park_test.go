package front

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// pauses is a client whose bytes come in pieces, some of them only after the connection was parked.
type pauses struct {
	pieces
	parks []byte // whether the next read finds nothing, over and over
	reads int
}

const mostPauses = 3000

func (p *pauses) Read(b []byte) (int, error) {
	p.reads++
	if len(p.parks) > 0 && p.left != "" && p.parks[p.reads%len(p.parks)]&1 == 1 && p.reads < mostPauses && p.reads%7 != 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return p.pieces.Read(b)
}

// serveParked is serve for such a client. Whenever it is parked, others use the buffers that it had.
func (f *connection) serveParked(t *testing.T, stream string, sizes, parks []byte) ([]seen, string) {
	f.handled = nil
	client := &pauses{pieces: pieces{left: stream, sizes: sizes}, parks: parks}
	c := newConn(f.listener, client)
	for c.serve() {
		if c.ended || c.headUntil.IsZero() && c.idleUntil.IsZero() {
			t.Fatalf("parked for ever: ended %v", c.ended)
		}
		own := f.handled
		for _, size := range []int{30, 3000} {
			other := "GET /" + strings.Repeat("Z", size) + " HTTP/1.1\r\nHost: a\r\n\r\nGET /" + strings.Repeat("Q", 40) + "\x00"
			newConn(f.listener, &pieces{left: other}).serve()
		}
		f.handled = own
	}
	return f.handled, client.out.String()
}

// FuzzParked: wherever between its bytes a connection is parked, and whenever it needs more room for a head, the
// requests, their bodies and the answers are those of a client who sends all at once.
func FuzzParked(f *testing.F) {
	for _, s := range connSeeds {
		f.Add([]byte(s), []byte{0}, []byte{1})
		f.Add([]byte(s), []byte{6, 2, 40}, []byte{1, 0})
		f.Add([]byte(s+s+s), []byte{200, 62, 65}, []byte{0, 0, 1})
		f.Add([]byte(strings.ReplaceAll(s, "Host: a\r\n", "Host: a\r\nX: "+strings.Repeat("y", 50)+"\r\n")), []byte{60, 70}, []byte{0, 0, 1})
	}
	whole, parking := newConnection(false), newConnection(false)
	front := parking.listener.socket.front
	front.parking.after, front.parking.newAfter = 0, 0
	front.usualHead = 64
	f.Fuzz(func(t *testing.T, stream, sizes, parks []byte) {
		atOnce, answers := whole.serve(string(stream), nil)
		cut, answersToCut := parking.serveParked(t, string(stream), sizes, parks)
		if !slices.Equal(atOnce, cut) || statuses(answers) != statuses(answersToCut) {
			t.Fatalf("%q as a whole: %+v %q; in pieces of %d, parked %v: %+v %q", stream, atOnce, answers, sizes, parks, cut, answersToCut)
		}
	})
}
