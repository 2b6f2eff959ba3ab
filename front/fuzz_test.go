package front

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"lb/http1"
	"lb/internal/lbtest"
	"lb/message"
)

// pieces is a client whose bytes come in pieces of those sizes, in turn, and then end.
type pieces struct {
	left  string
	sizes []byte
	reads int
	out   strings.Builder
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.left == "" {
		return 0, io.EOF
	}
	n := len(p.left)
	if len(p.sizes) > 0 {
		n = 1 + int(p.sizes[p.reads%len(p.sizes)])
	}
	p.reads++
	n = copy(b, p.left[:min(n, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *pieces) Close() error                     { return nil }
func (p *pieces) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (p *pieces) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
func (p *pieces) SetDeadline(time.Time) error      { return nil }
func (p *pieces) SetReadDeadline(time.Time) error  { return nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }

// seen is a request as the handler gets it.
type seen struct{ peer, method, target, fields, body, err string }

// connection serves one connection out of memory, and returns what the handler saw and the client got.
type connection struct {
	listener *Listener
	handled  []seen
}

// newConnection builds a front that is never bound.
func newConnection(proxied bool) *connection {
	fake := &connection{}
	f := New(Options{Limits: Limits{HeaderSize: 4096, BodySize: 1000}})
	handler := Handler(fake.handle)
	f.handler.Store(&handler)
	s := newSocket(f, nil, "memory")
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s.configure(ListenerOptions{Address: "memory", ProxyProtocol: proxied, TrustedProxies: loopback}, f.options.Limits)
	fake.listener = s.current.Load()
	return fake
}

func (f *connection) serve(stream string, sizes []byte) ([]seen, string) {
	f.handled = nil
	client := &pieces{left: stream, sizes: sizes}
	newConn(f.listener, client).serve()
	return f.handled, client.out.String()
}

// handle leaves the body alone if the target says so, so that what is left must be dropped.
func (f *connection) handle(c *Conn) {
	r := c.Request()
	s := seen{c.Peer().String(), string(r.Method), string(r.Target), linesOf(r), "", ""}
	if r := c.Body(); r != nil && !strings.HasPrefix(s.target, "/skip") {
		b, err := io.ReadAll(r)
		if s.body = string(b); err != nil {
			s.body, s.err = "", err.Error()
			c.EndAfter()
		}
	}
	f.handled = append(f.handled, s)
	reply(c, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-N: %d\r\n\r\n", len(f.handled)), nil)
}

// linesOf returns the fields of a request as they came.
func linesOf(r *message.Request) (lines string) {
	for i := range r.Fields {
		lines += string(r.Fields[i].Line)
	}
	return lines
}

// FuzzConn: in whatever pieces a client's bytes come, the requests, their bodies, the peer that a PROXY
// header names and the answers are the same; and the requests are those of the grammar.
func FuzzConn(f *testing.F) {
	for _, tc := range proxyHeaders {
		f.Add([]byte(tc.header+ok+"\r\n"), []byte{0}, true)
	}
	for _, s := range connSeeds {
		f.Add([]byte(s), []byte{0}, false)
		f.Add([]byte(s), []byte{6, 2, 40}, false)
	}
	plain, proxied := newConnection(false), newConnection(true)
	f.Fuzz(func(t *testing.T, stream, sizes []byte, proxy bool) {
		front := plain
		if proxy {
			front = proxied
		}
		whole, answers := front.serve(string(stream), nil)
		cut, answersToCut := front.serve(string(stream), sizes)
		if !slices.Equal(whole, cut) || statuses(answers) != statuses(answersToCut) {
			t.Fatalf("%q as a whole: %+v %q; in pieces of %d: %+v %q", stream, whole, answers, sizes, cut, answersToCut)
		}
		if !proxy {
			compareWithGrammar(t, string(stream), whole)
		}
	})
}

// statuses returns the status lines, since refusals hold a date and an id.
func statuses(answers string) (all string) {
	for line := range strings.SplitSeq(answers, "\r\n") {
		if strings.HasPrefix(line, "HTTP/1.1 ") && line != "HTTP/1.1 100 Continue" { // needless once the body is there
			all += line + "|"
		}
	}
	return all
}

func compareWithGrammar(t *testing.T, stream string, handled []seen) {
	t.Helper()
	for rest := stream; len(handled) > 0; handled = handled[1:] {
		for range http1.MaxBlanks {
			rest = strings.TrimPrefix(rest, "\r\n")
		}
		got := handled[0]
		var m lbtest.Message
		var err error
		m, rest, err = lbtest.ParseRequest(rest)
		if err != nil && got.err == "" && !strings.HasPrefix(got.target, "/skip") {
			t.Fatalf("%q: %+v was handled; by the grammar %+v, %v", stream, got, m, err)
		}
		if got.method != m.Method || got.target != m.Target || got.body != m.Body && got.err == "" && !strings.HasPrefix(got.target, "/skip") {
			t.Fatalf("%q: %+v was handled; by the grammar %+v", stream, got, m)
		}
	}
}

var connSeeds = []string{
	ok + "\r\n" + ok + "Connection: close\r\n\r\n" + ok + "\r\n",
	"\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\nGET /b HTTP/1.0\r\n\r\n",
	"POST /skip HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.2\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
	"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00;x\r\n\r\nHEAD /next HTTP/1.1\r\nHost: a\r\n\r\n",
	"PUT /skip HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\r\n\r\n", "\r\nX" + ok, "\rX" + ok + "\r\n", "\x16\x03\x01", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3fff\r\nabc",
}
