package http1

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/message"
	"lb/netloop"
)

// pieces is an exchange that sends a body in pieces, with pauses between some of them.
type pieces struct {
	testExchange
	random   *rand.Rand
	rest     string
	trailers []message.Field
	paused   bool
}

func (p *pieces) send() {
	for !p.last {
		if !p.paused && p.random.IntN(16) == 0 {
			p.paused = true
			p.timer.Reset(time.Duration(1+p.random.IntN(120)) * time.Millisecond) // time for a client that has half-closed to be probed
			return
		}
		p.paused = false
		n := p.random.IntN(len(p.rest) + 1)
		piece := p.rest[:n]
		p.rest = p.rest[n:]
		p.last = p.rest == ""
		if !p.s.Send([]byte(piece), p.last, p.trailers) {
			return
		}
	}
	p.end()
}

func (p *pieces) Flushed() { p.send() }

func (p *pieces) Expired(*netloop.Timer) { p.send() }

// TestResponsesInPieces: the client reads the same response, in whatever pieces a body is sent, however much the socket accepts at
// a time, and whether the client is probed or not.
func TestResponsesInPieces(t *testing.T) {
	s := startServer(t, Limits{})
	trailers := []message.Field{message.NewField("X-Sum", "1")}
	body := func(round int) string {
		return strings.Repeat("0123456789abcdef", rand.New(rand.NewPCG(uint64(round), 1)).IntN(1+1<<(round%16)))
	}
	s.begins = map[string]func(*testExchange){"pieces": func(x *testExchange) {
		round := x.numbers[0]
		p := &pieces{testExchange: *x, random: rand.New(rand.NewPCG(uint64(round), 2)), rest: body(round), trailers: trailers}
		p.s.Exchange = p
		p.timer.Init(p.s.Conn().Worker().Loop, p)
		p.s.Close()
		r := message.Response{Status: 200, Length: -1}
		if round%2 == 1 {
			r.SetLength(int64(len(p.rest)))
		}
		if p.s.Respond(&r, nil, false, false) {
			p.send()
		}
	}}
	s.onLoops(func(*Worker) {}) // the loops see it from now on
	for round := range 120 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			if round%20 > 0 { // some at a time
				t.Parallel()
			}
			c := s.dial("")
			if err := c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			c.Send(request(fmt.Sprintf("/pieces/%d", round)))
			if round%4 < 2 {
				c.CloseWrite()
			}
			b, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Replace(string(b), "Connection: close\r\n", "", 1)
			if chunked := round%2 == 0; chunked != strings.HasSuffix(got, "X-Sum: 1\r\n\r\n") {
				t.Errorf("%q ends without its trailer section, or with one", got)
			}
			for _, reader := range lbtest.ReplyReaders() {
				replies, err := reader.Read([]byte(got+nextResponse), []string{"GET", "GET"})
				if err != nil && lbtest.Stricter(err) {
					continue
				}
				if err != nil || len(replies) != 2 || replies[0].Body != body(round) || replies[1].Status != 202 {
					t.Errorf("%s reads %+v of %q, %v", reader.Name, replies, got, err)
				}
			}
		})
	}
}

// TestChunkSizes: decoding the chunk of a body of any size yields the body.
func TestChunkSizes(t *testing.T) {
	for _, n := range []int{0, 1, 9, 10, 15, 16, 255, 256, 4095, 4096, 4097, 32 << 10} {
		framed := AppendChunk(nil, []byte(strings.Repeat("x", n)), true, nil)
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
		close bool
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
		head, chunked := appendResponse(nil, &tc.r, &tc.to)
		if wantChunks := tc.r.Length < 0 && tc.to.Minor > 0 && !tc.to.Head; string(head) != tc.want || tc.to.Close != tc.close || chunked != wantChunks {
			t.Errorf("%+v: %q, close %v, chunked %v, want %q, %v", tc.r, head, tc.to.Close, chunked, tc.want, tc.close)
		}
	}
}

// TestRequestHeads: the framing fields follow the other fields of a request.
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

// TestAdd: fields stay unchanged when more are added.
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

// TestTrailers: only allowed fields of a trailer section are forwarded.
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

// TestTrailerAnnouncement: a Trailer field names no field that is removed from the trailer section.
func TestTrailerAnnouncement(t *testing.T) {
	for value, want := range map[string]string{
		"A": "Trailer: A\r\n", "A,b ,, C": "Trailer: A, b, C\r\n", "Host, A, x-hop": "Trailer: A\r\n", "Host": "", "": "", "a b": "",
		strings.Repeat("Host,", message.MaxAnnounced) + "A": "",
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
