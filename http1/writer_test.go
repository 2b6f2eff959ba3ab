package http1

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"lb/internal/lbtest"
	"lb/message"
)

// send sends body through w in pieces, over a connection that takes what it likes of each write, and returns what it took.
func send(t *testing.T, rnd *rand.Rand, w *Writer, body string, trailers []message.Field) string {
	t.Helper()
	var out bytes.Buffer
	for rest, ended := body, false; !ended; {
		piece := rest[:rnd.IntN(len(rest)+1)]
		end := len(piece) == len(rest)
		for {
			head, middle, tail := w.Frame([]byte(piece), end, trailers)
			all := slicesJoin(head, middle, tail)
			n := len(all)
			if rnd.IntN(3) == 0 {
				n = rnd.IntN(n + 1)
			}
			out.Write(all[:n])
			taken := w.Wrote(n)
			piece, rest = piece[taken:], rest[taken:]
			if between := w.BetweenChunks(); between && rnd.IntN(4) == 0 {
				out.WriteByte('0')
			}
			if n == len(all) && piece == "" {
				break
			}
			if rnd.IntN(2) == 0 { // the next piece begins where this was left, but is another one
				piece = rest[:rnd.IntN(len(rest)+1)]
				end = len(piece) == len(rest)
			}
		}
		ended = end && w.Pending() == 0
	}
	return out.String()
}

func slicesJoin(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// TestWriter: whatever pieces a body comes in and whatever the connection takes of them, the message is the same.
func TestWriter(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	trailers := []message.Field{message.NewField("X-Sum", "1")}
	for i := range 3000 {
		body := strings.Repeat("0123456789abcdef", rnd.IntN(1+1<<(i%11)))
		r := message.Response{Status: 200, Length: int64(len(body))}
		if i%2 == 0 {
			r.Length = -1
		} else {
			r.SetLength(r.Length)
		}
		var w Writer
		w.Reset(nil)
		w.Respond(&r, &Recipient{Minor: 1})
		got := send(t, rnd, &w, body, trailers)
		if w.BetweenChunks() {
			t.Fatal("a chunk may follow the last one")
		}
		if want := "X-Sum: 1\r\n\r\n"; (r.Length < 0) != strings.HasSuffix(got, want) {
			t.Fatalf("%q ends without its trailer section, or with one", got)
		}
		for _, reader := range lbtest.ReplyReaders() {
			replies, err := reader.Read([]byte(got+nextAnswer), []string{"GET", "GET"})
			if err != nil && lbtest.Stricter(err) {
				continue
			}
			if err != nil || len(replies) != 2 || replies[0].Body != body || replies[1].Status != 202 {
				t.Fatalf("%s reads %+v of %q, %v", reader.Name, replies, got, err)
			}
		}
	}
}

// TestChunkSizes: a body of any size comes back out of its chunk.
func TestChunkSizes(t *testing.T) {
	for _, n := range []int{1, 9, 10, 15, 16, 255, 256, joinLimit - 1, joinLimit, joinLimit + 1, 32 << 10} {
		var w Writer
		w.Respond(&message.Response{Status: 200, Length: -1}, &Recipient{Minor: 1})
		head, _, _ := w.Frame(nil, false, nil)
		w.Wrote(len(head))
		framed := slicesJoin(w.Frame(bytes.Repeat([]byte{'x'}, n), true, nil))
		if w.Wrote(len(framed)) != n {
			t.Errorf("%d bytes: not all taken", n)
		}
		var d ChunkDecoder
		payload, read, err := d.Decode(framed)
		if payload != n || read != len(framed) || err != nil || !d.Done() || strings.Trim(string(framed[:payload]), "x") != "" {
			t.Errorf("%d bytes came back as %d, %d of %d read: %v", n, payload, read, len(framed), err)
		}
	}
}

// TestResponseHeads: how the framing and the Connection field of a response depend on the client.
func TestResponseHeads(t *testing.T) {
	upgrade := message.NewField("Upgrade", "a")
	for _, tc := range []struct {
		r     message.Response
		to    Recipient
		want  string
		ended bool // the connection ends
	}{
		{message.Response{Status: 200}, Recipient{Minor: 1}, "HTTP/1.1 200 OK\r\n\r\n", false},
		{message.Response{Status: 200, Reason: []byte{}}, Recipient{Minor: 1}, "HTTP/1.1 200 \r\n\r\n", false},
		{message.Response{Status: 200, Reason: []byte("Fine")}, Recipient{Minor: 1, Close: true}, "HTTP/1.1 200 Fine\r\nConnection: close\r\n\r\n", true},
		{message.Response{Status: 799, Length: -1}, Recipient{Minor: 1}, "HTTP/1.1 799 \r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{message.Response{Status: 200, Length: -1}, Recipient{Minor: 1, Head: true}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{message.Response{Status: 200, Length: -1}, Recipient{}, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", true},
		{message.Response{Status: 200, Length: -1}, Recipient{Head: true}, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", false},
		{message.Response{Status: 200, Fields: []message.Field{message.NewField("Trailer", "X"), message.NewField("A", "b")}}, Recipient{}, "HTTP/1.1 200 OK\r\nA: b\r\nConnection: keep-alive\r\n\r\n", false},
		{message.Response{Status: 426, Fields: []message.Field{upgrade}}, Recipient{Minor: 1}, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", false},
		{message.Response{Status: 426, Fields: []message.Field{upgrade}}, Recipient{Minor: 1, Close: true}, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: a\r\nConnection: upgrade, close\r\n\r\n", true},
		{message.Response{Status: 426, Fields: []message.Field{upgrade}}, Recipient{}, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: a\r\nConnection: upgrade, keep-alive\r\n\r\n", false},
		{message.Response{Status: 101, Fields: []message.Field{upgrade}}, Recipient{Minor: 1}, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", false},
	} {
		var w Writer
		w.Respond(&tc.r, &tc.to)
		if head, _, _ := w.Frame(nil, tc.r.Length >= 0, nil); string(head) != tc.want || tc.to.Close != tc.ended {
			t.Errorf("%+v: %q, ended %v, want %q, %v", tc.r, head, tc.to.Close, tc.want, tc.ended)
		}
	}
}

// TestRequestHeads: what frames a request stands behind its fields, as it was announced.
func TestRequestHeads(t *testing.T) {
	trailer := []message.Field{message.NewField("Host", "a"), message.NewField("Trailer", "X")}
	for _, tc := range []struct {
		r    message.Request
		want string
	}{
		{message.Request{Fields: trailer}, "Host: a\r\n"},
		{message.Request{Fields: trailer, Length: -1, Announced: true}, "Host: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n"},
		{message.Request{Announced: true}, "Content-Length: 0\r\n"},
		{message.Request{Length: 5, Announced: true, Continue: true}, "Expect: 100-continue\r\nContent-Length: 5\r\n"},
		{message.Request{Upgrade: []byte("a, b")}, "Connection: Upgrade\r\nUpgrade: a, b\r\n"},
	} {
		tc.r.Method, tc.r.Target = []byte("PUT"), []byte("/x")
		if got, want := string(AppendRequest(nil, &tc.r)), "PUT /x HTTP/1.1\r\n"+tc.want+"\r\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSkip: what has been sent of a head before is not sent again.
func TestSkip(t *testing.T) {
	var w Writer
	w.Respond(&message.Response{Status: 204}, &Recipient{Minor: 1})
	if w.Skip("HTTP/1.0") || !w.Skip(StatusLineStart) {
		t.Error("not the start of a status line")
	}
	if head, _, _ := w.Frame(nil, true, nil); string(head) != "204 No Content\r\n\r\n" {
		t.Errorf("%q", head)
	}
}

// TestAdd: fields of our own stay what they are when more are added.
func TestAdd(t *testing.T) {
	var r message.Response
	for i := range 200 {
		r.Add("X-N", fmt.Sprint(i))
	}
	for i := range r.Fields {
		if f := &r.Fields[i]; string(f.Line) != fmt.Sprintf("X-N: %d\r\n", i) || string(f.Name) != "X-N" || string(f.Value) != fmt.Sprint(i) {
			t.Fatalf("%d: %q", i, f.Line)
		}
	}
}

// TestTrailers: of a trailer section only those fields go on that may stand there.
func TestTrailers(t *testing.T) {
	head := []message.Field{{Kind: message.Connection, Value: []byte("x-hop, close")}}
	for section, want := range map[string]string{
		"": "", "X-Sum: 1\r\nX-Hop: 2\r\nContent-Length: 3\r\nA:b\r\n": "X-Sum: 1\r\nA:b\r\n", "A: b\r\nno field\r\n": "",
	} {
		got := ""
		for _, f := range Trailers([]byte(section), head) {
			got += string(f.Line)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", section, got, want)
		}
	}
}

// TestTrailerAnnouncement: a Trailer field names no field that is taken out of the trailer section.
func TestTrailerAnnouncement(t *testing.T) {
	for value, want := range map[string]string{
		"A": "Trailer: A\r\n", "A,b ,, C": "Trailer: A, b, C\r\n", "Host, A, x-hop": "Trailer: A\r\n", "Host": "", "": "", "a b": "",
		strings.Repeat("Host,", maxAnnounced) + "A": "",
	} {
		var h RequestHead
		if err := h.Parse([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Hop\r\nTrailer: "+value+"\r\n\r\n"), 0); err != nil {
			t.Fatal(err)
		}
		f := h.Fields[2]
		got := string(f.Line)
		if f.Hop {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}
