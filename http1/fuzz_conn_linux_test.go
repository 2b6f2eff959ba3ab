//go:build !portable

package http1

import (
	"io"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lb/internal/lbtest"
	"lb/message"
	"lb/netloop"
)

// seen is a request as a handler gets it.
type seen struct{ method, target, fields, body, trailers, err string }

// recorder is the handler of one connection at a time. It belongs to the loop.
type recorder struct {
	seen    []seen
	open    map[*recorded]bool
	sent    int64 // bytes that the socket has taken, of requests that have ended and of refusals
	refused int
	wrong   string
}

// recorded is an exchange of a recorder. The beginning of the target selects the response: /skip leaves the body unread, /chunks
// has no Content-Length, /hint sends an interim response first, /later responds only after others have used the loop's buffers.
type recorded struct {
	r     *recorder
	s     *Stream
	index int
	body  []byte
	last  bool
	ended bool
}

func (r *recorder) Serve(s *Stream) {
	q := s.Request()
	x := &recorded{r: r, s: s, index: len(r.seen)}
	r.seen = append(r.seen, seen{method: string(q.Method), target: string(q.Target), fields: linesOf(q)})
	r.open[x] = true
	s.Exchange = x
	switch {
	case strings.HasPrefix(string(q.Target), "/skip"):
		x.respond()
	case strings.HasPrefix(string(q.Target), "/later"):
		s.Conn().Worker().Loop.Later(netloop.TaskFunc(x.BodyReady))
	default:
		x.BodyReady()
	}
}

// linesOf returns the fields of a request as received.
func linesOf(q *message.Request) (lines string) {
	for i := range q.Fields {
		lines += string(q.Fields[i].Line)
	}
	return lines
}

func (r *recorder) Refused(_ *Conn, refusal *Refusal) {
	r.refused++
	r.sent += refusal.BytesOut
}

func (r *recorder) Panicked(v any) { panic(v) }

func (x *recorded) BodyReady() {
	for {
		piece, err := x.s.Read()
		x.body = append(x.body, piece...)
		switch {
		case err == nil:
			continue
		case err == netloop.ErrWouldBlock:
			return
		case err != io.EOF:
			x.s.Close()
			x.r.seen[x.index].err = err.Error()
		default:
			x.r.seen[x.index].body = string(x.body)
			for _, f := range x.s.Trailers() {
				x.r.seen[x.index].trailers += string(f.Line)
			}
		}
		x.respond()
		return
	}
}

func (x *recorded) respond() {
	s := &x.r.seen[x.index]
	if got := linesOf(x.s.Request()); got != s.fields || string(x.s.Request().Target) != s.target {
		x.r.wrong = "the head has changed to " + string(x.s.Request().Target) + " " + got
	}
	if strings.HasPrefix(s.target, "/hint") {
		x.s.SendInterim(&message.Response{Status: 103})
	}
	r := message.Response{Status: 200}
	if strings.HasPrefix(s.target, "/chunks") {
		r.Length = -1
	} else {
		r.SetLength(int64(len(s.target + "\r\n")))
	}
	if x.s.Respond(&r, nil, false, false) {
		x.Flushed()
	}
}

func (x *recorded) Flushed() {
	if !x.last {
		x.last = true
		if !x.s.Send([]byte(x.r.seen[x.index].target+"\r\n"), true, nil) {
			return
		}
	}
	x.end()
}

func (x *recorded) Moved() {}

func (x *recorded) Disconnected(err error) {
	x.r.seen[x.index].err = err.Error()
	x.end()
}

func (x *recorded) end() {
	if x.ended {
		x.r.wrong = "an exchange has ended twice"
	}
	x.ended = true
	delete(x.r.open, x)
	x.r.sent += x.s.Sent()
	x.s.End()
}

// fuzzServer serves connections one after the other.
type fuzzServer struct {
	*testServer
	r *recorder
}

func newFuzzServer(t testing.TB) *fuzzServer {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{open: make(map[*recorded]bool)}
	s := &fuzzServer{&testServer{t: t}, r}
	s.serve(listener, 1, Limits{HeaderSize: 4096, HeaderFields: 20, BodySize: 1000}, r)
	return s
}

// syncedPieces is the number of pieces of a stream after each of which the test waits until it was read.
const syncedPieces = 100

// play sends a stream in pieces of those sizes, cyclically, and returns the requests that the handler saw and what the client got.
// A request that is in progress when everything has been read ends with a disconnect.
func (f *fuzzServer) play(t *testing.T, stream string, sizes []byte) ([]seen, string) {
	f.onLoops(func(*Worker) { f.r.seen, f.r.sent, f.r.refused, f.r.wrong = nil, 0, 0, "" })
	nc, err := net.Dial("unix", f.address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	client := &reader{}
	client.more.L = &client.mu
	go client.read(nc)
	for i := 0; stream != ""; i++ {
		n := len(stream)
		if len(sizes) > 0 {
			n = min(n, 1+int(sizes[i%len(sizes)]))
		}
		if _, err := io.WriteString(nc, stream[:n]); err != nil {
			break // the connection has ended
		}
		if stream = stream[n:]; i < syncedPieces {
			f.settle(t, nc)
		}
	}
	f.settle(t, nc)
	var sent int64
	f.onLoops(func(*Worker) {
		sent = f.r.sent
		for x := range f.r.open {
			sent += x.s.Sent()
		}
	})
	got := client.wait(sent)
	nc.Close()
	client.wait(math.MaxInt64)
	lbtest.Eventually(t, "the connection ends", func() bool { return f.open.Load() == 0 })
	f.onLoops(func(*Worker) {
		if f.r.wrong != "" || len(f.r.open) != 0 || len(f.workers[0].streams) == 0 && len(f.r.seen) > 0 {
			t.Errorf("%s; %d exchanges are open, %d streams unused", f.r.wrong, len(f.r.open), len(f.workers[0].streams))
		}
	})
	return f.r.seen, got
}

// settle returns when the loop has read and fully processed what was sent.
func (f *fuzzServer) settle(t *testing.T, nc net.Conn) {
	state := func() (s [3]int64) {
		f.onLoops(func(*Worker) { s = [3]int64{int64(len(f.r.seen)), int64(len(f.r.open)), f.r.sent} })
		return s
	}
	late := time.Now().Add(20 * time.Second)
	for before, same := state(), 0; same < 3; same++ {
		if now := state(); now != before || unread(t, nc) > 0 {
			before, same = now, -1
		}
		if time.Now().After(late) {
			t.Fatalf("the connection does not read %d bytes", unread(t, nc))
		}
	}
}

// unread returns approximately how many bytes the other end of a Unix socket has not read.
func unread(t *testing.T, nc net.Conn) (n int) {
	raw, err := nc.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	controlErr := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	if err != nil || controlErr != nil {
		t.Fatal(err, controlErr)
	}
	return n
}

// reader reads what a client gets.
type reader struct {
	mu   sync.Mutex
	more sync.Cond
	got  []byte
	over bool
}

func (r *reader) read(nc net.Conn) {
	buf := make([]byte, 4096)
	for err := error(nil); err == nil; {
		var n int
		n, err = nc.Read(buf)
		r.mu.Lock()
		r.got, r.over = append(r.got, buf[:n]...), err != nil
		r.mu.Unlock()
		r.more.Broadcast()
	}
}

// wait returns what was received when that is n bytes, or when no more can arrive.
func (r *reader) wait(n int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for int64(len(r.got)) < n && !r.over {
		r.more.Wait()
	}
	return string(r.got)
}

// FuzzConn: the requests, their bodies and the responses do not depend on the pieces in which a client's bytes arrive. The
// requests are those of the grammar, and each of them ends once.
func FuzzConn(f *testing.F) {
	for _, s := range connSeeds {
		f.Add([]byte(s), []byte{0})
		f.Add([]byte(s), []byte{6, 2, 40})
		f.Add([]byte(s+s+s), []byte{200, 62, 65})
		f.Add([]byte(strings.ReplaceAll(s, "Host: a\r\n", "Host: a\r\nX: "+strings.Repeat("y", 50)+"\r\n")), []byte{60, 70})
	}
	server := newFuzzServer(f)
	f.Fuzz(func(t *testing.T, stream, sizes []byte) {
		whole, responses := server.play(t, string(stream), nil)
		cut, responsesToCut := server.play(t, string(stream), sizes)
		if !slices.Equal(whole, cut) || statuses(responses) != statuses(responsesToCut) {
			t.Fatalf("%q as a whole: %+v %q; in pieces of %d: %+v %q", stream, whole, responses, sizes, cut, responsesToCut)
		}
		compareWithGrammar(t, string(stream), whole)
	})
}

// statuses returns the status lines, since refusals contain a date and an ID.
func statuses(responses string) (all string) {
	for line := range strings.SplitSeq(responses, "\r\n") {
		if strings.HasPrefix(line, "HTTP/1.1 ") && line != "HTTP/1.1 100 Continue" { // which depends on when the body comes
			all += line + "|"
		}
	}
	return all
}

// compareWithGrammar compares requests with the result of the RFC's grammar. A request with an unread or invalid body has no body
// here.
func compareWithGrammar(t *testing.T, stream string, handled []seen) {
	t.Helper()
	for rest := stream; len(handled) > 0; handled = handled[1:] {
		for range MaxBlanks {
			rest = strings.TrimPrefix(rest, "\r\n")
		}
		got := handled[0]
		bodyless := got.err != "" || strings.HasPrefix(got.target, "/skip")
		var m lbtest.Message
		var err error
		m, rest, err = lbtest.ParseRequest(rest)
		if err != nil && !bodyless {
			t.Fatalf("%q: %+v was handled; by the grammar %+v, %v", stream, got, m, err)
		}
		if got.method != m.Method || got.target != m.Target || got.body != m.Body && !bodyless {
			t.Fatalf("%q: %+v was handled; by the grammar %+v", stream, got, m)
		}
	}
}

var connSeeds = []string{
	get + "\r\n" + get + "Connection: close\r\n\r\n" + get + "\r\n",
	"\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /b HTTP/1.0\r\n\r\n",
	"POST /skip HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.2\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
	"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00;x\r\n\r\nHEAD /next HTTP/1.1\r\nHost: a\r\n\r\n",
	"PUT /skip HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\r\n\r\n", "\r\nX" + get, "\rX" + get + "\r\n", "\x16\x03\x01", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3fff\r\nabc",
	"GET /chunks HTTP/1.1\r\nHost: a\r\n\r\nHEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\nGET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hint HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /later HTTP/1.1\r\nHost: a\r\nX-Long: " + strings.Repeat("z", 300) + "\r\nContent-Length: 3\r\n\r\nabcGET /later HTTP/1.1\r\nHost: a\r\n\r\nPUT /later HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: t\r\n\r\n" + get + "\r\n",
	strings.Repeat(get+"\r\n", 40),
}
