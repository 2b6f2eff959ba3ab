package server_test

import (
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"lb/internal/lbtest"
)

// fuzzRequests are the requests of FuzzResponses.
var fuzzRequests = []struct{ method, text string }{
	{"GET", "GET /fuzz HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"HEAD", "HEAD /fuzz HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
	{"GET", "GET /fuzz HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n"},
	{"POST", "POST /fuzz HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n123456789012"},
	{"GET", "GET /fuzz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
	{"HEAD", "HEAD /fuzz HTTP/1.0\r\n\r\n"},
}

// second is the response to the request that follows the one under test.
const second = "the response to the second request"

// lateBytes are what a backend sends after a response without a body, when it already has the second request.
type lateBytes struct {
	conn *lbtest.Conn
	text string
}

// FuzzResponses lets a backend send arbitrary bytes as its response. What the client gets is the same for independent parsers: the
// backend's response, one of the balancer's own, or a visibly truncated one. No byte of it becomes part of the next response.
func FuzzResponses(f *testing.F) {
	var bytes atomic.Pointer[string]
	var method atomic.Pointer[string]
	var late atomic.Bool
	var pending atomic.Pointer[lateBytes]
	dir := f.TempDir()
	backend := lbtest.NewBackendOn(f, "unix:"+filepath.Join(dir, "app.sock"), func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			switch {
			case head == "":
				return
			case strings.Contains(head, " /second "):
				if p := pending.Swap(nil); p != nil {
					p.conn.Send(p.text)
				}
				c.Send(lbtest.OK(second))
				continue
			}
			response := *bytes.Load()
			m, rest, err := finalResponse(*method.Load(), response, false)
			if late.Load() && err == nil && mayComeLate(*method.Load(), m) {
				pending.Store(&lateBytes{c, rest})
				response = response[:len(response)-len(rest)]
			}
			c.Send(response)
			if err != nil {
				return // the balancer would wait for more
			}
		}
	})
	lb := start(f, fuzzed+proxyTo(fuzzedPool, backend.Addr))
	for _, s := range responseSeeds {
		for i := range fuzzRequests {
			f.Add([]byte(s), uint8(i))
			f.Add([]byte(s), uint8(i+len(fuzzRequests)))
		}
	}
	f.Fuzz(func(t *testing.T, response []byte, kind uint8) {
		text, request := string(response), fuzzRequests[int(kind)%len(fuzzRequests)]
		if len(text) > 32<<10 || strings.Contains(text, second) {
			return
		}
		bytes.Store(&text)
		method.Store(&request.method)
		late.Store(int(kind)/len(fuzzRequests)%2 == 1)
		pending.Store(nil)
		got, err := exchangeAll(lb, "192.0.2.1", request.text+"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
		if err != nil {
			t.Fatalf("%s %q: %v after %q", request.method, response, err, got)
		}
		old := strings.Contains(request.text, "HTTP/1.0")
		checkRelayed(t, text, got, request.method, old)
	})
}

// finalResponse skips interim responses.
func finalResponse(method, s string, ended bool) (m lbtest.Message, rest string, err error) {
	for rest = s; ; {
		if m, rest, err = lbtest.ParseResponse(method, rest, ended); err != nil || m.Status >= 200 || m.Status == 101 {
			return m, rest, err
		}
	}
}

// mayComeLate reports whether bytes after a response may arrive after the next request was sent: it has no body, and a backend
// might send one nevertheless.
func mayComeLate(method string, m lbtest.Message) bool {
	switch m.Status {
	case 204, 304:
		return true
	case 101:
		return false
	}
	length := m.Values("Content-Length")
	return method == "HEAD" && (len(length) == 0 || strings.Trim(length[0], "0") != "")
}

// checkRelayed compares what the client got with the backend's response.
func checkRelayed(t *testing.T, response, got, method string, old bool) {
	t.Helper()
	replies, cut := repliesAlike(t, got, []string{method, "GET"})
	if len(replies) == 0 && !cut {
		t.Fatalf("%s %q: no response", method, response)
	}
	if len(replies) == 2 && replies[1] != (lbtest.Reply{Status: 200, Body: second}) || cut && len(replies) > 0 {
		t.Fatalf("%s %q: the client got %q", method, response, got)
	}
	theirs, _, err := finalResponse(method, response, true)
	if len(replies) == 0 || replies[0].Status == 502 {
		// A complete response is relayed completely if it is valid: an upgrade that was not requested is invalid,
		// and so is a body where none is allowed.
		if err == nil && theirs.Status != 101 && theirs.Status != 502 && !bodyOutOfPlace(method, response) && !overLimits(response) {
			t.Fatalf("%s %q: relayed as %q", method, response, got)
		}
		return
	}
	if err != nil {
		if !old || theirs.Framing != "chunked" { // an HTTP/1.0 client sees only a reset, which Unix sockets do not have
			t.Fatalf("%s %q is no complete response (%v), but was relayed as %q", method, response, err, got)
		}
		return
	}
	if want := (lbtest.Reply{Status: theirs.Status, Body: theirs.Body}); replies[0] != want {
		t.Fatalf("%s %q: relayed as %q", method, response, got)
	}
	ours, _, _ := finalResponse(method, got, true)
	if theirs.Values("Date") == nil {
		ours.Fields = slices.DeleteFunc(ours.Fields, func(f [2]string) bool { return f[0] == "Date" })
	}
	want := endToEnd(theirs)
	if theirs.Values("Connection") == nil && !slices.Equal(endToEnd(ours), want) {
		t.Fatalf("%s %q: fields %q, want %q", method, response, ours.Fields, want)
	}
}

// bodyOutOfPlace reports whether a head announces a body that its status forbids.
func bodyOutOfPlace(method, response string) bool {
	for {
		m, rest, err := lbtest.ParseResponse(method, response, true)
		if err != nil {
			return false
		}
		lengths := m.Values("Content-Length")
		if (m.Status < 200 || m.Status == 204) && (len(m.Values("Transfer-Encoding")) > 0 || len(lengths) > 0 && strings.Trim(lengths[0], "0") != "") {
			return true
		}
		if strange := len(lengths) + len(m.Values("Transfer-Encoding")); m.Framing == "none" && strange > 0 {
			return true // a length that nobody needs may be nonsense, which is refused
		}
		if response = rest; m.Status >= 200 {
			return false
		}
	}
}

// overLimits reports whether a response may have more fields, or more options in Connection, than allowed.
func overLimits(response string) bool {
	return strings.Count(response, "\n") > 1000 || strings.Contains(strings.ToLower(response), "connection") && strings.Count(response, ",") >= 16
}

// repliesAlike parses responses with all parsers and fails if they differ. cut says that the last one is incomplete.
func repliesAlike(t *testing.T, stream string, methods []string) (replies []lbtest.Reply, cut bool) {
	t.Helper()
	for i, reader := range lbtest.ReplyReaders() {
		got, err := reader.Read([]byte(stream), methods)
		if err != nil && i > 0 && lbtest.Stricter(err) {
			continue
		}
		if i == 0 {
			replies, cut = got, err == lbtest.ErrCut
			if err != nil && !cut {
				t.Fatalf("the client got %q: %+v, %v", stream, got, err)
			}
		}
		if !slices.Equal(got, replies) || (err != nil) != cut {
			t.Fatalf("the client got %q; %s reads %+v, %v, the grammar %+v", stream, reader.Name, got, err, replies)
		}
	}
	return replies, cut
}

// endToEnd returns the end-to-end fields.
func endToEnd(m lbtest.Message) (fields [][2]string) {
	for _, f := range m.Fields {
		switch strings.ToLower(f[0]) {
		case "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "upgrade",
			"http2-settings", "transfer-encoding", "x-request-id":
			continue
		case "content-length":
			if m.Status == 204 {
				continue
			}
		}
		fields = append(fields, f)
	}
	return fields
}

var responseSeeds = []string{
	lbtest.OK("abc"),
	lbtest.OK("abc") + lbtest.OK("WRONG"),
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T, Content-Length\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
	"HTTP/1.1 200 OK\r\n\r\nto the end",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + lbtest.OK("abc"),
	"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\nWRONG",
	"HTTP/1.1 204 No Content\r\n\r\n" + lbtest.OK("WRONG"),
	"HTTP/1.1 304 Not Modified\r\n\r\n" + lbtest.OK("WRONG"),
	"HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n" + lbtest.OK("WRONG"),
	"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nabc",
	"HTTP/1.1 502 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nConnection: close, X\r\nX: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 599 \r\nA: \xff\r\nX-Request-Id: 1\r\nKeep-Alive: 1\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "garbage", "",
}
