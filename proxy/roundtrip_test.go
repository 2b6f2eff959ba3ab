package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"lb/internal/lbtest"
	"lb/netloop"
	"lb/transport"
)

// joined is a connection that sends nothing before flush, so that several TLS records arrive together.
type joined struct {
	net.Conn
	holds bool
	out   bytes.Buffer
}

func (j *joined) Write(p []byte) (int, error) {
	if j.holds {
		return j.out.Write(p)
	}
	return j.Conn.Write(p)
}

func (j *joined) flush() {
	j.holds = false
	_, _ = j.out.WriteTo(j.Conn)
}

// serverTLS returns the configuration of a backend with a self-signed certificate.
func serverTLS(t *testing.T) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{lbtest.SelfSigned(t)}}
}

// recordBackend responds to the requests of a TLS connection by records that arrive together. It gets the number of a request on its
// connection, from 0.
func recordBackend(t *testing.T, respond func(number int) (records []string)) (*lbtest.Backend, func(*transport.Options)) {
	conf := serverTLS(t)
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		j := &joined{Conn: c.Conn}
		secure := tls.Server(j, conf)
		in := bufio.NewReader(secure)
		for n := 0; ; n++ {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			j.holds = true
			for _, record := range respond(n) {
				_, _ = io.WriteString(secure, record)
			}
			j.flush()
		}
	})
	return back, func(o *transport.Options) { o.TLS = &tls.Config{InsecureSkipVerify: true} }
}

// TestHeadInSeparateRecord: the head of a response is not overwritten by its body, which has arrived in another TLS record.
func TestHeadInSeparateRecord(t *testing.T) {
	body := strings.Repeat("X-Body: 1\r\n", 100)
	back, secure := recordBackend(t, func(int) []string {
		whole := lbtest.OK(body)
		return []string{strings.TrimSuffix(whole, body), body}
	})
	b := start(t, options{transport: secure}, back.Addr)
	c := lbtest.Dial(t, b.address)
	for range 3 {
		c.Send(get("/"))
		if r := want(t, c, "GET", 200, body); r.Field("X-Body") != "" {
			t.Errorf("%q", r.Head)
		}
	}
}

// TestRecordBehindResponse: a connection is not used again after a TLS record that does not belong to the response, even if no event
// of the socket reports it.
func TestRecordBehindResponse(t *testing.T) {
	back, secure := recordBackend(t, func(int) []string { return []string{lbtest.OK("own"), lbtest.OK("other")} })
	b := start(t, options{transport: secure}, back.Addr)
	c := lbtest.Dial(t, b.address)
	for range 3 {
		c.Send(get("/"))
		want(t, c, "GET", 200, "own")
	}
}

// TestResponseBehindContinue: a response that arrives together with 100 (Continue) is not overwritten by the request's body.
func TestResponseBehindContinue(t *testing.T) {
	sent := make(chan struct{})
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if c.ReadHead() != "" {
			lbtest.Wait(t, "the body", sent)
			c.Send("HTTP/1.1 100 Continue\r\n\r\n" + lbtest.OK("backend's"))
			c.ReadHead()
		}
	})
	b := start(t, options{}, back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
	lbtest.Eventually(t, "the backend has a request", func() bool { return b.pool.Backends()[0].InFlight() == 1 })
	c.Send(strings.Repeat("client's", 500))
	close(sent)
	if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 100") {
		t.Fatalf("%q", head)
	}
	want(t, c, "POST", 200, "backend's")
}

// TestUploadContinuesAfterSpooledResponse: the rest of a body that arrives when the whole response has been read ahead does no harm.
func TestUploadContinuesAfterSpooledResponse(t *testing.T) {
	response := strings.Repeat("0123456789abcdef", 1<<21)
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if c.ReadHead() != "" {
			c.Send(lbtest.OK(response))
			_, _ = io.Copy(io.Discard, c)
		}
	})
	b := start(t, options{forward: func(f *Forward) { f.Buffer.Response = 64 << 20 }}, back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin")
	lbtest.Eventually(t, "the response has been read ahead", func() bool {
		return b.pool.Backends()[0].InFlight() == 0 && back.Conns.Load() == 1
	})
	c.Send("more")
	if r := c.ReadResponse("POST"); r.Status() != 200 || r.Body != response || r.Err != nil {
		t.Errorf("%d, %d bytes, %v", r.Status(), len(r.Body), r.Err)
	}
	if n := b.panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
}

// TestDisconnectSettlesOnce: a client that disconnects during a response is not counted twice as one that waited for it.
func TestDisconnectSettlesOnce(t *testing.T) {
	back := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		if head, _ := c.ReadRequest(); head != "" {
			c.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin")
			c.ReadHead()
		}
	})
	b := start(t, options{forward: func(f *Forward) { f.Timed = true }}, back.Addr)
	c := lbtest.Dial(t, b.address)
	c.Send(get("/"))
	if !c.Expect(t, "HTTP/1.1 200 OK\r\n") {
		return
	}
	c.Reset()
	backend := b.pool.Backends()[0]
	lbtest.Eventually(t, "the exchange has ended", func() bool { return backend.InFlight() == 0 && b.site.Metrics.InFlight.Get() == 0 })
	if l := backend.Latency(backend.Now()); !l.Idle {
		t.Errorf("%+v", l)
	}
}

// TestLoopIsShared: a long body is forwarded in turns, between which the loop serves other connections.
func TestLoopIsShared(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<21)
	back := backend(t, func(head, body string) string { return lbtest.OK(body) })
	for name, change := range map[string]func(*Forward){
		"streamed": nil, "read ahead": func(f *Forward) { f.Buffer.Response = 1 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, options{forward: change}, back.Addr)
			c := lbtest.Dial(t, b.address)
			go c.Send(sized("/", body))
			r := c.ReadResponse("POST")
			if r.Status() != 200 || r.Body != body || r.Err != nil {
				t.Errorf("%d, %d bytes, %v", r.Status(), len(r.Body), r.Err)
			}
			most := int64(piecesAtOnce * netloop.LargeBuffer)
			turns := int64(0)
			for _, l := range b.loops.All() {
				turns += l.Counters().Batches
			}
			if want := 2 * int64(len(body)) / most; turns < want {
				t.Errorf("%d turns, want %d", turns, want)
			}
		})
	}
}
