package server_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/internal/lbtest"
)

// The balancer of the fuzz targets uses Unix sockets, which are cheap and have no TIME_WAIT. A PROXY header gives each
// client an address.
const fuzzed = `
listen "unix:$DIR/lb.sock" {
  proxy_protocol = true
}
trusted_proxies = ["10.0.0.0/8"]
access_log {
  format = "off"
}
`

const fuzzedPool = `
  eject {
    failures = 0
  }
  retry {
    attempts = 0
    body     = "8B"
  }
  timeouts {
    response = "10s"
    idle     = "10s"
  }
`

// exchangeAll sends bytes as a client with that address and returns all that comes back. It returns an error if the connection
// does not end in time or in order.
func exchangeAll(r *running, source, stream string) (string, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: filepath.Join(r.dir, "lb.sock"), Net: "unix"})
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(8 * time.Second)) // sooner than any timeout of the balancer
	_, _ = io.WriteString(c, "PROXY TCP4 "+source+" 192.0.2.200 1 2\r\n"+stream)
	_ = c.CloseWrite()
	b, err := io.ReadAll(c)
	return string(b), err
}

// tape is a backend that records the exact bytes of each request and responds with the request's number.
type tape struct {
	mu       sync.Mutex
	requests []string
	faults   []string
}

func (p *tape) take() (requests, faults []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests, faults = p.requests, p.faults
	p.requests, p.faults = nil, nil
	return requests, faults
}

// serve parses by the grammar alone. Nothing may follow a request before its response was sent.
func (p *tape) serve(c *lbtest.Conn) {
	all, piece := "", make([]byte, 32<<10)
	for {
		n, err := c.Read(piece)
		if err != nil {
			return // an incomplete request may remain: its client had disconnected
		}
		all += string(piece[:n])
		m, rest, err := lbtest.ParseRequest(all)
		if err == lbtest.ErrCut {
			if strings.HasSuffix(all, "\r\n\r\n") && slices.Equal(lbtest.Fields(all, "Expect"), []string{"100-continue"}) {
				c.Send("HTTP/1.1 100 Continue\r\n\r\n") // the body waits for it
			}
			continue
		}
		p.mu.Lock()
		p.requests = append(p.requests, all)
		number := fmt.Sprint(len(p.requests))
		if err != nil || rest != "" {
			p.faults = append(p.faults, fmt.Sprintf("%q: %+v, behind it %q, %v", all, m, rest, err))
		}
		p.mu.Unlock()
		if err != nil || rest != "" {
			return
		}
		all = ""
		c.Send("HTTP/1.1 200 OK\r\nContent-Length: " + fmt.Sprint(len(number)) + "\r\n\r\n" + number)
	}
}

// FuzzRequests sends arbitrary bytes through the real balancer and parses what the backend gets with independent parsers. Each
// request that arrives is the same for all of them, is one that the client sent, and has correct fields about the client. The
// responses are checked likewise.
func FuzzRequests(f *testing.F) {
	p := &tape{}
	dir := f.TempDir()
	backend := lbtest.NewBackendOn(f, "unix:"+filepath.Join(dir, "app.sock"), p.serve)
	lb := start(f, fuzzed+proxyTo(fuzzedPool, backend.Addr))
	for _, s := range requestSeeds {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, trusted bool) {
		if len(stream) > 32<<10 {
			return // more than sockets take without a reader
		}
		source := "192.0.2.1"
		if trusted {
			source = "10.0.0.1"
		}
		p.take()
		responses, err := exchangeAll(lb, source, string(stream))
		if err != nil {
			t.Fatalf("%q: %v after %q", stream, err, responses)
		}
		requests, faults := p.take()
		if len(faults) > 0 {
			t.Fatalf("%q: at the backend %q", stream, faults)
		}
		sent, methods := readStream(string(stream))
		for _, raw := range requests {
			arrived := readAlike(t, raw)
			i := slices.IndexFunc(sent, func(m lbtest.Message) bool { return sameRequest(m, arrived) })
			if i < 0 {
				t.Fatalf("%q: the backend got %q, which the client did not send", stream, raw)
			}
			sent = sent[i+1:]
			checkForwarded(t, raw, source, trusted)
		}
		checkResponses(t, responses, methods, len(requests))
	})
}

// readStream parses a client's requests by the grammar, and the method of one that is refused or truncated.
func readStream(s string) (sent []lbtest.Message, methods []string) {
	for {
		for range 4 { // empty lines before a request are ignored
			s = strings.TrimPrefix(s, "\r\n")
		}
		m, rest, err := lbtest.ParseRequest(s)
		if err != nil {
			method, _, whole := strings.Cut(strings.TrimLeft(s, "\r\n"), " ")
			if !whole {
				method = "" // there may be more to it
			}
			return sent, append(methods, method)
		}
		sent, methods, s = append(sent, m), append(methods, m.Method), rest
	}
}

// readAlike parses one request with all parsers and fails if they differ.
func readAlike(t *testing.T, raw string) lbtest.Request {
	t.Helper()
	var first lbtest.Request
	for i, reader := range lbtest.Readers() {
		got, err := reader.Read([]byte(raw))
		if err != nil && len(got) == 0 && i > 0 && lbtest.Stricter(err) {
			continue
		}
		if err != nil || len(got) != 1 {
			t.Fatalf("the backend got %q; %s reads %+v, %v", raw, reader.Name, got, err)
		}
		if i == 0 {
			first = got[0]
		}
		if strings.EqualFold(got[0].Host, first.Host) {
			got[0].Host = first.Host
		}
		if got[0] != first {
			t.Fatalf("the backend got %q; %s reads %+v, the grammar %+v", raw, reader.Name, got[0], first)
		}
	}
	return first
}

func sameRequest(sent lbtest.Message, arrived lbtest.Request) bool {
	hosts := sent.Values("Host")
	return sent.Method == arrived.Method && sent.Target == arrived.Target && sent.Body == arrived.Body &&
		(len(hosts) == 0 || hosts[0] == arrived.Host)
}

// checkForwarded checks the fields that the balancer sets and those that only it may read.
func checkForwarded(t *testing.T, raw, source string, trusted bool) {
	t.Helper()
	m, _, _ := lbtest.ParseRequest(raw)
	count := map[string]int{}
	upgrade := len(m.Values("Upgrade")) > 0
	for _, field := range m.Fields {
		name := strings.ReplaceAll(strings.ToLower(field[0]), "_", "-") // many applications do the same
		count[name]++
		if !trusted && strings.HasPrefix(name, "x-forwarded") && !slices.Contains([]string{"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}, name) &&
			(name == "x-forwarded" || name[11] == '-') {
			t.Fatalf("%s of an untrusted client in %q", field[0], raw)
		}
	}
	for _, name := range []string{"host", "x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-request-id"} {
		if count[name] != 1 {
			t.Fatalf("%d times %s in %q", count[name], name, raw)
		}
	}
	for _, name := range []string{"te", "keep-alive", "proxy-connection", "proxy-authorization", "http2-settings"} {
		if count[name] != 0 {
			t.Fatalf("%s in %q", name, raw)
		}
	}
	if expect := m.Values("Expect"); len(expect) > 0 && !slices.Equal(expect, []string{"100-continue"}) {
		t.Fatalf("Expect %q in %q", expect, raw)
	}
	if count["x-forwarded-host"] > 1 || upgrade != slices.Equal(m.Values("Connection"), []string{"Upgrade"}) || count["connection"] > 1 {
		t.Fatalf("fields in %q", raw)
	}
	chain, real := m.Values("X-Forwarded-For")[0], m.Values("X-Real-IP")[0]
	if _, err := netip.ParseAddr(real); err != nil || !strings.HasSuffix(chain, source) {
		t.Fatalf("addresses in %q", raw)
	}
	if !trusted && (chain != source || real != source || count["forwarded"] > 0 || m.Values("X-Forwarded-Proto")[0] != "http") {
		t.Fatalf("an untrusted client is trusted: %q", raw)
	}
}

// checkResponses parses what the client got: never more responses than requests, the same for all parsers, and the backend's in
// the order of the requests.
func checkResponses(t *testing.T, stream string, methods []string, forwarded int) {
	t.Helper()
	var first []lbtest.Reply
	for i, reader := range lbtest.ReplyReaders() {
		got, err := reader.Read([]byte(stream), methods)
		if i == 0 {
			first = got
		}
		if err != nil || !slices.Equal(got, first) {
			t.Fatalf("to %q came %q; %s reads %+v, %v", methods, stream, reader.Name, got, err)
		}
	}
	number := 0
	for i, reply := range first {
		if reply.Status != 200 {
			continue
		}
		if number++; reply.Body != fmt.Sprint(number) && methods[i] != "HEAD" || number > forwarded {
			t.Fatalf("to %q came %q, of %d from the backend", methods, stream, forwarded)
		}
	}
}

var requestSeeds = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.3\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET / HTTP/3.1\r\nHost: a\r\n\r\n",
	"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n\r\nHEAD /d HTTP/1.1\r\nHost: a\r\n\r\n",
	"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\nExpect: 100-continue\r\nConnection: x, close\r\nX: 1\r\n\r\n01234567890123456789",
	"OPTIONS * HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nKeep-Alive: 1\r\nProxy-Connection: keep-alive\r\n\r\n",
	"GET http://a.b/c HTTP/1.1\r\nHost: a.b\r\nX-Forwarded-For: 1.2.3.4, 10.9.9.9\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=1\r\nX-Real-IP: 5\r\nX-Forwarded-Port: 1\r\nX_Forwarded_User: b\r\nX_Request_Id: c\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Request-Id: z\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /e HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: Host, Content-Length, X-Forwarded-For, Transfer-Encoding\r\n\r\n",
	"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nabGET /f HTTP/1.0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
	"GET /%2e%2e/a HTTP/1.1\r\nHost: a\r\n\r\nGET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
	"DELETE / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9\r\nCookie: a=b; c\r\nCookie: d\r\n\r\n--x--\r\n\r\n",
}
