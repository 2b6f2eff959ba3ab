package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"lb/internal/lbtest"
)

// http3Listen is the text of a listener with HTTP/3 and a certificate for a.test, which is written to dir.
func http3Listen(t testing.TB, dir string) string {
	t.Helper()
	writeCertificate(t, dir+"/a", 1, "a.test", "b.test")
	return "listen \"127.0.0.1:0\" {\n  http3 = true\n  tls {\n    certificate {\n      cert = \"" + dir + "/a.pem\"\n      key = \"" + dir + "/a.key\"\n    }\n  }\n}\n"
}

// http3Client is quic-go's client with a connection of its own.
type http3Client struct {
	t testing.TB
	*http3.ClientConn
	quic      *quic.Conn
	transport *quic.Transport
}

// dialHTTP3 connects by QUIC.
func (r *running) dialHTTP3() *http3Client {
	r.t.Helper()
	c, err := r.tryHTTP3("a.test")
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *running) tryHTTP3(serverName string) (*http3Client, error) {
	r.t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	c := &http3Client{t: r.t, transport: &quic.Transport{Conn: udp}}
	r.t.Cleanup(func() {
		c.transport.Close()
		udp.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	at := r.Addrs()[0].(*net.TCPAddr)
	c.quic, err = c.transport.Dial(ctx, &net.UDPAddr{IP: at.IP, Port: at.Port},
		&tls.Config{ServerName: serverName, InsecureSkipVerify: true, NextProtos: []string{"h3"}}, &quic.Config{})
	if err != nil {
		return nil, err
	}
	c.ClientConn = (&http3.Transport{DisableCompression: true}).NewClientConn(c.quic)
	return c, nil
}

// request makes a request for a.test.
func (c *http3Client) request(method, path string, body io.Reader, fields ...string) *http.Request {
	c.t.Helper()
	r, err := http.NewRequest(method, "https://a.test"+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	return r
}

// do sends a request and reads the response.
func (c *http3Client) do(r *http.Request) (response *http.Response, body string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	response, err := c.RoundTrip(r.WithContext(ctx))
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return response, string(b)
}

func (c *http3Client) get(path string, fields ...string) (*http.Response, string) {
	c.t.Helper()
	return c.do(c.request("GET", path, nil, fields...))
}

// TestHTTP3: a request of HTTP/3 comes to a backend as one of HTTP/1.1 that can be read in one way, and is logged and counted as what it was.
func TestHTTP3(t *testing.T) {
	b := record(t, "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nX-Kept: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\nabc")
	dir := t.TempDir()
	lb := start(t, http3Listen(t, dir)+proxyTo("", b.Addr))
	c := lb.dialHTTP3()
	r, body := c.do(c.request("POST", "/a%2fb?c=d", strings.NewReader("body"), "Cookie", "a=1; b=2", "X-Forwarded-For", "192.0.2.1", "User-Agent", "tests"))
	if r.StatusCode != 200 || body != "abc" || strings.Join(r.Header["Set-Cookie"], "|") != "a|b" || r.Header.Get("X-Kept") != "2" ||
		r.Header.Get("X-Request-Id") == "" || r.Header.Get("Alt-Svc") != "" || r.Header.Get("Keep-Alive")+r.Header.Get("X-Hop") != "" {
		t.Errorf("%+v %q", r, body)
	}
	head, sent := b.last()
	for _, want := range []string{"POST /a%2fb?c=d HTTP/1.1\r\n", "\r\nHost: a.test\r\n", "\r\ncookie: a=1; b=2\r\n", "\r\nX-Forwarded-For: 127.0.0.1\r\n",
		"\r\nX-Forwarded-Proto: https\r\n", "\r\nContent-Length: 4\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("the backend got %q, without %q", head, want)
		}
	}
	if sent != "body" {
		t.Errorf("the backend got %q", sent)
	}
	if r, body := c.get("/get"); r.StatusCode != 200 || body != "abc" {
		t.Errorf("%+v %q", r, body)
	}
	if head, _ := b.last(); !strings.HasPrefix(head, "GET /get HTTP/1.1\r\n") || len(lbtest.Fields(head, "Transfer-Encoding"))+len(lbtest.Fields(head, "Content-Length")) != 0 {
		t.Errorf("the backend got %q", head)
	}
	if r, body := c.do(c.request("HEAD", "/head", nil)); r.StatusCode != 200 || body != "" || r.Header.Get("Content-Length") != "3" {
		t.Errorf("%+v %q", r, body)
	}
	lb.wantMetric(`lb_http_requests_total{protocol="h3"}`, "3")
	lbtest.Eventually(t, "the access log has it", func() bool {
		return strings.Contains(lb.read("access.log"), `"target":"/get","protocol":"HTTP/3.0"`)
	})
}

// TestHTTP3AltSvc: clients of HTTP/1 and HTTP/2 learn of HTTP/3, unless the response says something else of it.
func TestHTTP3AltSvc(t *testing.T) {
	dir := t.TempDir()
	lb := start(t, http3Listen(t, dir)+`
site "s" {
  route "/" {
    respond {
      status = 200
      body   = "pong"
    }
  }
  route "/own" {
    response_headers {
      set = { "Alt-Svc" = "clear" }
    }
    respond {
      status = 200
      body   = "pong"
    }
  }
}`)
	port := lb.Addrs()[0].(*net.TCPAddr).Port
	for _, ok := range []bool{false, true} {
		client := &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: ok, TLSClientConfig: &tls.Config{ServerName: "a.test", InsecureSkipVerify: true}, DisableKeepAlives: true,
		}, Timeout: 20 * time.Second}
		for path, want := range map[string]string{"/": `h3=":` + strconv.Itoa(port) + `"; ma=86400`, "/own": "clear"} {
			r, err := client.Get("https://" + lb.addr() + path)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if got := strings.Join(r.Header["Alt-Svc"], "|"); got != want {
				t.Errorf("%s %s: %q, want %q", r.Proto, path, got, want)
			}
		}
		client.CloseIdleConnections()
	}
}

// TestHTTP3Bodies: bodies pass both ways, of any size, with and without a length, and trailers behind them.
func TestHTTP3Bodies(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, body := c.ReadRequest()
			if head == "" {
				return
			}
			c.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n0\r\nX-Sum: 7\r\n\r\n")
		}
	})
	dir := t.TempDir()
	lb := start(t, http3Listen(t, dir)+proxyTo("", b.Addr))
	c := lb.dialHTTP3()
	for _, size := range []int{1, 1000, 16 << 10, 16<<10 + 1, 1 << 20, 3 << 20} {
		for _, announced := range []bool{true, false} {
			payload := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			r := c.request("POST", "/", strings.NewReader(payload))
			if !announced {
				r.ContentLength = -1
			}
			response, body := c.do(r)
			if response.StatusCode != 200 || body != payload || response.Trailer.Get("X-Sum") != "7" {
				t.Errorf("%d bytes: %d, %d bytes, trailers %v", size, response.StatusCode, len(body), response.Trailer)
			}
		}
	}
}

// TestHTTP3OwnResponses: what lb responds itself has the form of HTTP/3, whatever makes it.
func TestHTTP3OwnResponses(t *testing.T) {
	large := strings.Repeat("0123456789", 300_000)
	dir := writeFiles(t, map[string]string{"files/a.txt": "0123456789", "files/large": large})
	lb := start(t, http3Listen(t, t.TempDir())+`
limits {
  body_size = 1000
}
site "s" {
  hosts = ["a.test"]
  route "/files/" {
    static {
      root = "`+dir+`"
    }
  }
  route "= /pong" {
    respond {
      status = 200
      body   = "pong"
    }
  }
  route "/old/" {
    redirect {
      to = "/new/{rest}"
    }
  }
}`)
	c := lb.dialHTTP3()
	for _, tc := range []struct {
		path   string
		fields []string
		status int
		body   string
	}{
		{"/files/a.txt", nil, 200, "0123456789"},
		{"/files/large", nil, 200, large},
		{"/files/a.txt", []string{"Range", "bytes=2-4"}, 206, "234"},
		{"/files/none", nil, 404, ""},
		{"/pong", nil, 200, "pong"},
		{"/old/x?y", nil, 308, ""},
		{"/none", nil, 404, ""},
		{"/pong", []string{"X-Large", strings.Repeat("x", 15<<10)}, 200, "pong"},
		{"/pong", []string{"X-Large", strings.Repeat("x", 17<<10)}, 431, ""},
		{"/pong", []string{"X-Large", strings.Repeat("x", 40<<10)}, 431, ""},
		{"/pong", []string{"Expect", "something"}, 417, ""},
	} {
		r, body := c.get(tc.path, tc.fields...)
		if r.StatusCode != tc.status || tc.body != "" && body != tc.body || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %.100q", tc.path, r.StatusCode, body)
		}
	}
	if r, body := c.do(c.request("POST", "/pong", bytes.NewReader(make([]byte, 900)))); r.StatusCode != 200 || body != "pong" {
		t.Errorf("%+v", r)
	}
	if r, _ := c.do(c.request("POST", "/pong", bytes.NewReader(make([]byte, 1001)))); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%+v", r)
	}
	other := c.request("GET", "/pong", nil)
	other.Host = "b.test"
	if r, _ := c.do(other); r.StatusCode != http.StatusNotFound {
		t.Errorf("%+v", r)
	}
	strange, err := lb.tryHTTP3("c.test")
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := strange.get("/pong"); r.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a connection for a name of no site: %+v", r)
	}
	other.Host = "a.test:99999"
	if _, err := c.RoundTrip(other); err == nil {
		t.Error("a malformed host is served")
	}
	var reset *http3.Error
	if _, err := c.RoundTrip(other); !errors.As(err, &reset) || reset.ErrorCode != http3.ErrCodeMessageError {
		t.Errorf("a malformed host: %v", err)
	}
}

// TestHTTP3Cancel: a request that the client cancels, or that its connection ends with, ends at the backend.
func TestHTTP3Cancel(t *testing.T) {
	b := newSlow(t)
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	c := lb.dialHTTP3()
	ctx, cancel := context.WithCancel(context.Background())
	for _, r := range []*http.Request{c.request("GET", "/one", nil).WithContext(ctx), c.request("GET", "/two", nil)} {
		go func() {
			if response, err := c.RoundTrip(r); err == nil {
				response.Body.Close()
			}
		}()
		lbtest.Wait(t, "the backend has a request", b.asked)
	}
	cancel()
	lbtest.Wait(t, "one has ended", b.cancelled)
	_ = c.CloseWithError(0x100, "")
	lbtest.Wait(t, "so has the other", b.cancelled)
	lb.wantMetric(`lb_connections{listener="127.0.0.1:0"}`, "0")
}

// TestHTTP3Drain: requests under way are served when lb stops, and the client is told that it should not send more.
func TestHTTP3Drain(t *testing.T) {
	b := newSlow(t)
	lb := start(t, http3Listen(t, t.TempDir())+proxyTo("", b.Addr))
	c := lb.dialHTTP3()
	got := make(chan string, 1)
	go func() {
		_, body := c.get("/one")
		got <- body
	}()
	lbtest.Wait(t, "the backend has a request", b.asked)
	stopped := make(chan error, 1)
	go func() { stopped <- lb.Stop(context.Background()) }()
	lbtest.Eventually(t, "new connections are refused", func() bool {
		_, err := net.Dial("tcp", lb.addr())
		return err != nil
	})
	b.response <- lbtest.OK("x")
	if body, _ := lbtest.Wait(t, "the response", got); body != "x" {
		t.Errorf("%q", body)
	}
	if err, ok := lbtest.Wait(t, "lb has stopped", stopped); ok && err != nil {
		t.Error(err)
	}
}

// TestHTTP3Reload: connections and downloads survive a reload with another certificate, new handshakes get that, and HTTP/3 can be turned off and
// on.
func TestHTTP3Reload(t *testing.T) {
	b := newSlow(t)
	dir := t.TempDir()
	text := http3Listen(t, dir) + proxyTo("", b.Addr)
	lb := start(t, text)
	c := lb.dialHTTP3()
	serial := func(c *http3Client) int64 {
		return c.quic.ConnectionState().TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	ask := func(c *http3Client) (done chan string) {
		done = make(chan string, 1)
		go func() {
			_, body := c.get("/")
			done <- body
		}()
		lbtest.Wait(t, "the backend has a request", b.asked)
		return done
	}
	answered := func(done chan string) {
		t.Helper()
		b.response <- lbtest.OK("x")
		if body, _ := lbtest.Wait(t, "the response", done); body != "x" {
			t.Errorf("%q", body)
		}
	}
	done := ask(c)
	writeCertificate(t, dir+"/a", 2, "a.test", "b.test")
	if err := lb.reload(text); err != nil {
		t.Fatal(err)
	}
	answered(done)
	answered(ask(c)) // on the same connection
	if other := lb.dialHTTP3(); serial(c) != 1 || serial(other) != 2 {
		t.Errorf("serial numbers %d and %d", serial(c), serial(other))
	}
	clients := []*http3Client{c}
	waiting := []chan string{ask(c)}
	for range 2 {
		if err := lb.reload(strings.Replace(text, "http3 = true", "http3 = false", 1)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(lb.admin("GET", "/api/v1/status"), `"http3"`) {
			t.Error("the status shows HTTP/3, which is off")
		}
		if err := lb.reload(text); err != nil { // while requests are in progress on the same port
			t.Fatal(err)
		}
		other := lb.dialHTTP3()
		clients = append(clients, other)
		waiting = append(waiting, ask(other))
	}
	for range waiting {
		b.response <- lbtest.OK("x")
	}
	for i, done := range waiting {
		if body, _ := lbtest.Wait(t, "the response", done); body != "x" {
			t.Errorf("client %d got %q", i, body)
		}
		if i < len(waiting)-1 {
			lbtest.Eventually(t, "the connection has ended", func() bool { return clients[i].quic.Context().Err() != nil })
		}
	}
	answered(ask(clients[2]))
	if status := lb.admin("GET", "/api/v1/status"); !strings.Contains(status, `"http3": true`) && !strings.Contains(status, `"http3":true`) {
		t.Errorf("the status does not show HTTP/3: %s", status)
	}
}

// TestHTTP3Limits: connections by QUIC count like others, and one over the limit of an address is refused before its handshake.
func TestHTTP3Limits(t *testing.T) {
	lb := start(t, http3Listen(t, t.TempDir())+strings.Replace(pongSite, "body_size = 100000", "connections_per_ip = 2", 1))
	first, second := lb.dialHTTP3(), lb.dialHTTP3()
	for _, c := range []*http3Client{first, second} { // which lb knows after that
		if r, _ := c.get("/"); r.StatusCode != 200 {
			t.Errorf("%v", r.Status)
		}
	}
	_, err := lb.tryHTTP3("a.test")
	var refused *quic.TransportError
	if !errors.As(err, &refused) || refused.ErrorCode != quic.ConnectionRefused {
		t.Errorf("%v", err)
	}
	lb.wantMetric(`lb_rejected_requests_total{reason="connections_per_ip"}`, "1")
	lb.wantMetric(`lb_tls_handshakes_total{listener="127.0.0.1:0",result="ok"}`, "2")
	_ = second.CloseWithError(0x100, "")
	lb.wantMetric(`lb_connections{listener="127.0.0.1:0"}`, "1")
	if r, _ := lb.dialHTTP3().get("/"); r.StatusCode != 200 {
		t.Errorf("%v", r.Status)
	}
}

// TestHTTP3PortInUse: the error names the UDP port, and a reload with it changes nothing.
func TestHTTP3PortInUse(t *testing.T) {
	text := http3Listen(t, t.TempDir()) + pongSite
	off := strings.Replace(text, "http3 = true", "http3 = false", 1)
	lb := start(t, off)
	at := lb.Addrs()[0].(*net.TCPAddr)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port})
	if err != nil {
		t.Skipf("another program has the UDP port: %v", err)
	}
	defer udp.Close()
	if err := lb.reload(text); err == nil || !strings.Contains(err.Error(), "the UDP port is in use: stop the other program, or remove http3") {
		t.Errorf("%v", err)
	}
	udp.Close()
	if err := lb.reload(text); err != nil {
		t.Error(err)
	}
	if r, _ := lb.dialHTTP3().get("/"); r.StatusCode != 200 {
		t.Errorf("%v", r.Status)
	}
}
