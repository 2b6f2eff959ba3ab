package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"lb/internal/lbtest"
)

// rawHTTP3 is a connection by QUIC on which a test writes HTTP/3 itself.
type rawHTTP3 struct {
	t testing.TB
	*quic.Conn
}

// dialRawHTTP3 connects and sends SETTINGS, unless control is something else that is to be sent instead.
func (r *running) dialRawHTTP3(control ...byte) *rawHTTP3 {
	r.t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &quic.Transport{Conn: udp}
	r.t.Cleanup(func() {
		transport.Close()
		udp.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	at := r.Addrs()[0].(*net.TCPAddr)
	conn, err := transport.Dial(ctx, &net.UDPAddr{IP: at.IP, Port: at.Port},
		&tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &rawHTTP3{r.t, conn}
	if control == nil {
		control = []byte{0, 4, 0}
	}
	c.uni(control...)
	return c
}

// uni sends bytes on a unidirectional stream of their own.
func (c *rawHTTP3) uni(b ...byte) *quic.SendStream {
	c.t.Helper()
	s, err := c.OpenUniStream()
	if err == nil {
		_, err = s.Write(b)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// request sends frames on a stream of their own, and its end.
func (c *rawHTTP3) request(frames ...[]byte) *quic.Stream {
	c.t.Helper()
	s := c.begin(frames...)
	_ = s.Close()
	return s
}

func (c *rawHTTP3) begin(frames ...[]byte) *quic.Stream {
	c.t.Helper()
	s, err := c.OpenStream()
	if err == nil {
		_ = s.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = s.Write(bytes.Join(frames, nil))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// frame3 returns a frame.
func frame3(kind uint64, payload []byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, kind), uint64(len(payload))), payload...)
}

// headers3 returns a HEADERS frame of names and values.
func headers3(fields ...string) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer does not fail
	}
	return frame3(1, b.Bytes())
}

// get3 is a request as it should be, with more fields.
func get3(more ...string) []byte {
	return headers3(append([]string{":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.test"}, more...)...)
}

// status3 returns the status of the response on a stream, or the code by which the stream or the connection was ended.
func status3(s *quic.Stream) string {
	b, err := io.ReadAll(s)
	var reset *quic.StreamError
	var closed *quic.ApplicationError
	switch {
	case errors.As(err, &reset):
		return "stream " + strconv.FormatInt(int64(reset.ErrorCode), 16)
	case errors.As(err, &closed):
		return "connection " + strconv.FormatInt(int64(closed.ErrorCode), 16)
	case err != nil:
		return err.Error()
	}
	for len(b) > 0 {
		kind, n, err := quicvarint.Parse(b)
		if err != nil {
			return err.Error()
		}
		length, k, err := quicvarint.Parse(b[n:])
		if err != nil {
			return err.Error()
		}
		payload := b[n+k:][:length]
		if b = b[n+k+int(length):]; kind == 1 {
			f, err := qpack.NewDecoder().Decode(payload)()
			if err != nil {
				return err.Error()
			}
			return f.Value
		}
	}
	return "no response"
}

const pongSite = `
limits {
  body_size = 100000
}
site "s" {
  route "/" {
    respond {
      status = 200
      body   = "pong"
    }
  }
}`

// TestHTTP3Malformed: what HTTP/3 forbids, or what an HTTP/1 backend could read in another way, resets the stream or ends the connection, and
// never comes to a backend.
func TestHTTP3Malformed(t *testing.T) {
	b := record(t, lbtest.OK("x"))
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	without := func(name string, more ...string) []byte {
		var fields []string
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a.test"}} {
			if f[0] != name {
				fields = append(fields, f[0], f[1])
			}
		}
		return headers3(append(fields, more...)...)
	}
	data := func(text string) []byte { return frame3(0, []byte(text)) }
	const message, unexpected, frame = "stream 10e", "connection 105", "connection 106"
	for name, tc := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"transfer-encoding":           {[][]byte{get3("transfer-encoding", "chunked")}, message},
		"connection":                  {[][]byte{get3("connection", "close")}, message},
		"upgrade":                     {[][]byte{get3("upgrade", "h2c")}, message},
		"te":                          {[][]byte{get3("te", "gzip")}, message},
		"CRLF in a value":             {[][]byte{get3("x", "a\r\nb: c")}, message},
		"NUL in a value":              {[][]byte{get3("x", "a\x00")}, message},
		"an upper-case name":          {[][]byte{get3("X", "a")}, message},
		"a colon in a name":           {[][]byte{get3("x:", "a")}, message},
		"no path":                     {[][]byte{without(":path")}, message},
		"no method":                   {[][]byte{without(":method")}, message},
		"no scheme":                   {[][]byte{without(":scheme")}, message},
		"no authority":                {[][]byte{without(":authority")}, message},
		"a path with a space":         {[][]byte{without(":path", ":path", "/ HTTP/1.1")}, message},
		"a pseudo-field twice":        {[][]byte{without("", ":path", "/")}, message},
		"a pseudo-field behind":       {[][]byte{without(":path", "x", "y", ":path", "/")}, message},
		"another host":                {[][]byte{get3("host", "b.test")}, message},
		"content-length of no body":   {[][]byte{get3("content-length", "1")}, message},
		"content-length twice":        {[][]byte{get3("content-length", "3", "content-length", "3"), data("abc")}, message},
		"a body that is too short":    {[][]byte{get3("content-length", "4"), data("abc")}, message},
		"a body that is too long":     {[][]byte{get3("content-length", "2"), data("abc")}, message},
		"trailers with pseudo-fields": {[][]byte{get3(), data("abc"), headers3(":path", "/")}, message},
		"trailers with CRLF":          {[][]byte{get3(), data("abc"), headers3("x", "a\nb")}, message},
		"DATA first":                  {[][]byte{data("abc"), get3()}, unexpected},
		"DATA behind trailers":        {[][]byte{get3(), data("abc"), headers3("x", "y"), data("abc")}, unexpected},
		"SETTINGS":                    {[][]byte{get3(), frame3(4, nil)}, unexpected},
		"a frame of HTTP/2":           {[][]byte{get3(), frame3(8, nil)}, unexpected},
		"PUSH_PROMISE":                {[][]byte{frame3(5, []byte{0}), get3()}, unexpected},
		"half a frame":                {[][]byte{get3()[:10]}, frame},
		"half a body":                 {[][]byte{get3(), data("abc")[:4]}, frame},
		"no frame":                    {nil, "stream 10d"},
		"a dynamic table":             {[][]byte{frame3(1, []byte{2, 0, 0x80})}, "connection 200"},
		"half a field section":        {[][]byte{frame3(1, []byte{0, 0, 0x5f})}, "connection 200"},
		"empty frames":                {[][]byte{get3(), bytes.Repeat(data(""), 200)}, "connection 107"},
		"unknown frames":              {[][]byte{bytes.Repeat(frame3(0x21, nil), 200), get3()}, "connection 107"},
		"a bomb":                      {[][]byte{frame3(1, append([]byte{0, 0}, bytes.Repeat([]byte{0xc0 | 29}, 4000)...))}, "connection 107"},
		"CONNECT":                     {[][]byte{headers3(":method", "CONNECT", ":authority", "a.test:443")}, "405"},
		"TRACE":                       {[][]byte{without(":method", ":method", "TRACE")}, message}, // behind the others
	} {
		if name == "TRACE" {
			tc.frames, tc.want = [][]byte{headers3(":method", "TRACE", ":scheme", "https", ":path", "/", ":authority", "a.test")}, "405"
		}
		c := lb.dialRawHTTP3()
		if got := status3(c.request(tc.frames...)); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
		if strings.HasPrefix(tc.want, "stream") {
			if got := status3(c.request(get3())); got != "200" {
				t.Errorf("%s: the next request got %s", name, got)
			}
		}
	}
	c := lb.dialRawHTTP3()
	for _, tc := range [][][]byte{
		{get3("cookie", "a=1", "cookie", "b=2")},
		{frame3(0x21, []byte("grease")), get3(), data("a"), data(""), frame3(0x40, nil), data("bc"), headers3("x-sum", "1", "content-length", "9")},
		{get3("content-length", "3"), data("abc")},
	} {
		if got := status3(c.request(tc...)); got != "200" {
			t.Errorf("%q: %s", tc, got)
		}
	}
	if head, body := b.last(); body != "abc" || strings.Join(lbtest.Fields(head, "Content-Length"), "|") != "3" {
		t.Errorf("the backend got %q %q", head, body)
	}
}

// TestHTTP3Control: what must not be on the control stream ends the connection, and what may be does not.
func TestHTTP3Control(t *testing.T) {
	lb := start(t, http3Listen(t, t.TempDir())+pongSite)
	for name, tc := range map[string]struct {
		control, more []byte // of the control stream, and of another one
		want          string
	}{
		"well":                     {[]byte{0, 4, 0}, nil, "200"},
		"settings":                 {append([]byte{0}, frame3(4, []byte{6, 0x44, 0, 1, 0, 0x21, 5})...), nil, "200"},
		"frames behind":            {bytes.Join([][]byte{{0, 4, 0}, frame3(0xd, []byte{5}), frame3(7, []byte{0}), frame3(0x21, nil), frame3(0xf, []byte("abc"))}, nil), nil, "200"},
		"streams of QPACK":         {[]byte{0, 4, 0}, []byte{2, 0x20}, "200"},
		"an unknown stream":        {[]byte{0, 4, 0}, []byte{0x21, 1, 2, 3}, "200"},
		"no SETTINGS":              {[]byte{0, 7, 1, 0}, nil, "connection 10a"},
		"SETTINGS twice":           {[]byte{0, 4, 0, 4, 0}, nil, "connection 105"},
		"DATA":                     {[]byte{0, 4, 0, 0, 0}, nil, "connection 105"},
		"a setting twice":          {append([]byte{0}, frame3(4, []byte{6, 1, 6, 1})...), nil, "connection 109"},
		"a setting of HTTP/2":      {append([]byte{0}, frame3(4, []byte{3, 1})...), nil, "connection 109"},
		"half a setting":           {append([]byte{0}, frame3(4, []byte{6})...), nil, "connection 106"},
		"large SETTINGS":           {[]byte{0, 4, 0x80, 1, 0, 0}, nil, "connection 107"},
		"a second one":             {[]byte{0, 4, 0}, []byte{0, 4, 0}, "connection 103"},
		"a push":                   {[]byte{0, 4, 0}, []byte{1, 0}, "connection 103"},
		"CANCEL_PUSH":              {[]byte{0, 4, 0, 3, 1, 0}, nil, "connection 108"},
		"a dynamic table":          {[]byte{0, 4, 0}, []byte{2, 0x3f, 0xe1, 0x1f}, "connection 201"},
		"an acknowledgement of it": {[]byte{0, 4, 0}, []byte{3, 0x84}, "connection 202"},
	} {
		c := lb.dialRawHTTP3(tc.control...)
		if tc.more != nil {
			c.uni(tc.more...)
		}
		if tc.want == "200" {
			if got := status3(c.request(get3())); got != "200" {
				t.Errorf("%s: %s", name, got)
			}
			continue
		}
		select {
		case <-c.Context().Done():
		case <-time.After(20 * time.Second):
		}
		var closed *quic.ApplicationError
		if err := context.Cause(c.Context()); !errors.As(err, &closed) || "connection "+strconv.FormatInt(int64(closed.ErrorCode), 16) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	c := lb.dialRawHTTP3()
	_ = c.uni(2).Close() // a second stream, whose end is not allowed
	<-c.Context().Done()
	var closed *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &closed) || closed.ErrorCode != 0x104 {
		t.Errorf("%v", err)
	}
}

// TestHTTP3RapidReset: a client that begins requests and cancels them all loses its connection, and another one does not.
func TestHTTP3RapidReset(t *testing.T) {
	b := newSlow(t)
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	stop := make(chan struct{})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for {
			select {
			case <-b.asked:
			case <-b.cancelled:
			case <-stop:
				return
			}
		}
	}()
	c, good := lb.dialRawHTTP3(), lb.dialRawHTTP3()
	ctx, cancel := context.WithTimeout(c.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		s, err := c.OpenStreamSync(ctx)
		if err != nil {
			break
		}
		_, _ = s.Write(get3())
		s.CancelRead(0x10c)
		s.CancelWrite(0x10c)
	}
	lbtest.Wait(t, "the end of the connection", c.Context().Done()) // may come later than the error of a stream
	var closed *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &closed) || closed.ErrorCode != 0x107 {
		t.Errorf("%v", err)
	}
	if got := status3(good.request(headers3(":method", "TRACE", ":scheme", "https", ":path", "/", ":authority", "a.test"))); got != "405" {
		t.Errorf("the other client got %s", got)
	}
	lb.wantMetric(`lb_rejected_requests_total{reason="flood"}`, "1")
	close(stop)
	<-drained
}

// TestHTTP3SlowReader: a client that does not read its response loses the stream after the timeout for bodies, and keeps its connection; one
// that does not send its body gets 408.
func TestHTTP3SlowReader(t *testing.T) {
	dir := writeFiles(t, map[string]string{"large": strings.Repeat("x", 4<<20)})
	b := record(t, lbtest.OK("x"))
	lb := start(t, http3Listen(t, t.TempDir())+`
limits {
  body_idle_timeout = "300ms"
  header_timeout    = "300ms"
}
site "s" {
  route "/" {
    proxy {
      pool = "app"
    }
  }
  route "/large" {
    static {
      root = "`+dir+`"
    }
  }
}
pool "app" {
  backend "`+b.Addr+`" {}
}`)
	c := lb.dialRawHTTP3()
	s := c.request(headers3(":method", "GET", ":scheme", "https", ":path", "/large", ":authority", "a.test"))
	lbtest.Eventually(t, "the stream has ended", func() bool { return strings.Contains(lb.read("access.log"), "too little of the response") })
	if got := status3(s); got != "stream 107" {
		t.Errorf("the slow reader got %s", got)
	}
	if got := status3(c.begin(get3("content-length", "10"), frame3(0, []byte("abc")))); got != "408" {
		t.Errorf("the slow sender got %s", got)
	}
	if got := status3(c.begin(get3()[:10])); got != "stream 10d" {
		t.Errorf("half a head got %s", got)
	}
	if got := status3(c.request(get3())); got != "200" {
		t.Errorf("the connection got %s", got)
	}
	lb.wantMetric(`lb_rejected_requests_total{reason="header_timeout"}`, "1")
}

// filtered is a UDP socket that gives what it receives to a function, and drops it if that returns false.
type filtered struct {
	net.PacketConn
	keep func(packet []byte) bool
}

func (f *filtered) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := f.PacketConn.ReadFrom(p)
		if err != nil || f.keep(p[:n]) {
			return n, from, err
		}
	}
}

// retryPacket is the first byte of a Retry packet, without its unused bits (RFC 9000 section 17.2.5).
const retryPacket = 0xf0

// dialFrom connects from 127.0.0.n. The client gets only the packets that keep keeps.
func (r *running) dialFrom(ctx context.Context, n int, keep func(packet []byte) bool) (*quic.Conn, error) {
	r.t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, byte(n))})
	if err != nil {
		r.t.Skipf("this system has one loopback address: %v", err)
	}
	transport := &quic.Transport{Conn: &filtered{udp, keep}}
	r.t.Cleanup(func() {
		transport.Close()
		udp.Close()
	})
	at := r.Addrs()[0].(*net.TCPAddr)
	return transport.Dial(ctx, &net.UDPAddr{IP: at.IP, Port: at.Port}, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: []string{"h3"}},
		&quic.Config{HandshakeIdleTimeout: time.Minute})
}

// wantServed sends a request from 127.0.0.n, and reports whether the client had to prove its address.
func (r *running) wantServed(n int) (validated bool) {
	r.t.Helper()
	var got atomic.Bool
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := r.dialFrom(ctx, n, func(packet []byte) bool {
		if packet[0]&0xf0 == retryPacket {
			got.Store(true)
		}
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	c := &rawHTTP3{r.t, conn}
	c.uni(0, 4, 0)
	if status := status3(c.request(get3())); status != "200" {
		r.t.Errorf("a client got %s", status)
	}
	return got.Load()
}

// stall begins handshakes from 127.0.0.n, and from each further address after perAddress of them. The clients get only the packets that keep
// keeps. stop ends them.
func (r *running) stall(n, handshakes, perAddress int, keep func([]byte) bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var stalled sync.WaitGroup
	for i := range handshakes {
		stalled.Go(func() { _, _ = r.dialFrom(ctx, n+i/perAddress, keep) })
	}
	return func() {
		cancel()
		stalled.Wait()
	}
}

// TestHTTP3AddressValidation: while many clients do not go on with their handshakes, others have to prove their address, and are served.
func TestHTTP3AddressValidation(t *testing.T) {
	lb := start(t, http3Listen(t, t.TempDir())+pongSite)
	if lb.wantServed(1) {
		t.Error("a client had to prove its address, although there was no other")
	}
	none := func([]byte) bool { return false }
	stop := lb.stall(2, 20, 20, none)
	lbtest.Eventually(t, "clients of the same address have to prove it", func() bool { return lb.wantServed(2) })
	if lb.wantServed(1) {
		t.Error("a client had to prove its address, although few handshakes are in progress")
	}
	stop()
	stop = lb.stall(10, 100, 5, none)
	lbtest.Eventually(t, "all clients have to prove their address", func() bool { return lb.wantServed(1) })
	stop()
}

// TestHTTP3HandshakesOfOneAddress: a client that proves its address and does not go on with its handshakes gets few of them, and another
// one is served.
func TestHTTP3HandshakesOfOneAddress(t *testing.T) {
	lb := start(t, http3Listen(t, t.TempDir())+strings.Replace(pongSite, "body_size = 100000", "header_timeout = \"60s\"", 1))
	stop := lb.stall(2, 100, 100, func(packet []byte) bool { return packet[0]&0xf0 == retryPacket })
	defer stop()
	lbtest.Eventually(t, "handshakes are refused", func() bool {
		const rejected = `lb_rejected_requests_total{reason="connections_per_ip"} `
		metrics := lb.admin("GET", "/metrics")
		return strings.Contains(metrics, rejected) && !strings.Contains(metrics, rejected+"0\n")
	})
	for range 20 {
		lb.wantServed(1)
	}
}
