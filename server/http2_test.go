package server_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

const plainHTTP2 = "listen \"127.0.0.1:0\" {\n  http2 = true\n}\n"

// dialHTTP2 connects by prior knowledge.
func (r *running) dialHTTP2(settings ...xhttp2.Setting) *lbtest.HTTP2 {
	r.t.Helper()
	return lbtest.DialHTTP2(r.t, r.addr(), settings...)
}

// TestHTTP2: the backend gets an HTTP/2 request as an unambiguous HTTP/1.1 request. It is logged and counted as HTTP/2.
func TestHTTP2(t *testing.T) {
	b := record(t, "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nX-Kept: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\nabc")
	lb := start(t, plainHTTP2+proxyTo("", b.Addr))
	c := lb.dialHTTP2()
	c.Post(1, "/a%2fb?c=d", "cookie", "a=1", "te", "trailers", "cookie", "b=2", "x-forwarded-for", "192.0.2.1", "content-length", "4", "user-agent", "tests")
	c.WriteData(1, true, []byte("body"))
	r := c.Await(1)
	if r.Status != 200 || r.Body != "abc" || !r.Ended || r.Field("set-cookie") != "a|b" || r.Field("x-kept") != "2" || r.Field("x-request-id") == "" ||
		r.Field("connection")+r.Field("keep-alive")+r.Field("x-hop")+r.Field("transfer-encoding") != "" {
		t.Errorf("%+v", r)
	}
	head, body := b.last()
	want := "POST /a%2fb?c=d HTTP/1.1\r\nuser-agent: tests\r\nHost: a.test\r\ncookie: a=1; b=2\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n" +
		"X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test\r\nContent-Length: 4\r\n\r\n"
	if got := without(head, "X-Request-Id", "CDN-Loop"); got != want || body != "body" {
		t.Errorf("the backend got %q %q, want %q", got, body, want)
	}
	c.Post(3, "/chunks")
	c.WriteData(3, false, []byte("bo"))
	c.WriteData(3, false, []byte("dy"))
	c.Headers(3, true, "x-sum", "1", "content-length", "9", "host", "b")
	if c.Await(3).Status != 200 {
		t.Errorf("%+v", c.Stream(3))
	}
	if head, body = b.last(); strings.Join(lbtest.Fields(head, "Transfer-Encoding"), "|") != "chunked" || body != "body" {
		t.Errorf("the backend got %q %q", head, body)
	}
	lb.wantMetric(`lb_http_requests_total{protocol="h2"}`, "2")
	lbtest.Eventually(t, "the access log has it", func() bool {
		return strings.Contains(lb.read("access.log"), `"target":"/chunks","protocol":"HTTP/2.0"`)
	})
	if r := lb.get("/"); r.Status() != 200 { // HTTP/1 still works on the same listener
		t.Errorf("%q", r.Head)
	}
	lb.wantMetric(`lb_http_requests_total{protocol="http/1.1"}`, "1")
}

// TestHTTP2Trailers: trailers and interim responses pass in both directions.
func TestHTTP2Trailers(t *testing.T) {
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head, _ := c.ReadRequest()
		if head != "" {
			c.Send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n")
		}
	})
	lb := start(t, plainHTTP2+proxyTo("", b.Addr))
	c := lb.dialHTTP2()
	c.Get(1, "/", "te", "trailers")
	if r := c.Await(1); r.Status != 200 || r.Body != "abc" || r.Trailer("x-sum") != "7" || strings.Join(r.Interim, " ") != "103" || !r.Ended {
		t.Errorf("%+v", r)
	}
}

// TestHTTP2OwnResponses: lb's own responses have the form of HTTP/2, whatever part of lb creates them.
func TestHTTP2OwnResponses(t *testing.T) {
	dir := writeFiles(t, map[string]string{"files/a.txt": "0123456789", "files/large": strings.Repeat("x", 300_000)})
	lb := start(t, plainHTTP2+`
site "s" {
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
	c := lb.dialHTTP2()
	for i, tc := range []struct {
		path   string
		fields []string
		status int
		body   string
	}{
		{"/files/a.txt", nil, 200, "0123456789"},
		{"/files/large", nil, 200, strings.Repeat("x", 300_000)},
		{"/files/a.txt", []string{"range", "bytes=2-4"}, 206, "234"},
		{"/files/none", nil, 404, ""},
		{"/pong", nil, 200, "pong"},
		{"/old/x?y", nil, 308, ""},
		{"/none", nil, 404, ""},
	} {
		id := uint32(2*i + 1)
		c.Get(id, tc.path, tc.fields...)
		r := c.Await(id)
		if r.Status != tc.status || tc.body != "" && r.Body != tc.body || !r.Ended || r.Reset != nil {
			t.Errorf("%s: %d %.100q, ended: %v, reset: %v (%v)", tc.path, r.Status, r.Body, r.Ended, r.Reset, c.Err)
		}
	}
	id := uint32(101)
	c.Get(id, "/files/a.txt", "range", "bytes=0-1,4-5")
	if r := c.Await(id); r.Status != 206 || !strings.Contains(r.Body, "\r\n\r\n45\r\n") || !r.Ended || r.Reset != nil {
		t.Errorf("%+v", r)
	}
	c.Post(103, "/pong") // its body is not needed
	c.WriteData(103, false, make([]byte, 1000))
	if r := c.Await(103); r.Status != 200 || r.Body != "pong" {
		t.Errorf("%+v", r)
	}
}

// TestHTTP2Cancel: a request ends at the backend when the client cancels it or disconnects.
func TestHTTP2Cancel(t *testing.T) {
	b := newSlow(t)
	lb := start(t, plainHTTP2+proxyTo("", b.Addr))
	c := lb.dialHTTP2()
	c.Get(1, "/one")
	c.Get(3, "/two")
	for range 2 {
		lbtest.Wait(t, "the backend has a request", b.asked)
	}
	c.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	lbtest.Wait(t, "one has ended", b.cancelled)
	c.Conn.Close()
	lbtest.Wait(t, "so has the other", b.cancelled)
}

// TestHTTP2Drain: when lb stops, it serves the requests in flight and those that a client sends before it can know.
func TestHTTP2Drain(t *testing.T) {
	b := newSlow(t)
	lb := start(t, plainHTTP2+proxyTo("", b.Addr))
	c := lb.dialHTTP2()
	c.Get(1, "/one")
	lbtest.Wait(t, "the backend has a request", b.asked)
	stopped := make(chan error, 1)
	go func() { stopped <- lb.Stop(context.Background()) }()
	c.Silent = true
	c.Until(func() bool { return len(c.Away) == 1 })
	c.Get(3, "/two")
	lbtest.Wait(t, "the backend has the other", b.asked)
	b.response <- lbtest.OK("x")
	b.response <- lbtest.OK("x")
	if c.Await(1).Body != "x" || c.Await(3).Body != "x" {
		t.Errorf("%+v %+v (%v)", c.Stream(1), c.Stream(3), c.Err)
	}
	if away := c.End(); len(c.Away) != 2 || away.Last != 3 || away.Code != xhttp2.ErrCodeNo {
		t.Errorf("%+v", away)
	}
	c.Conn.Close()
	if err, ok := lbtest.Wait(t, "lb has stopped", stopped); ok && err != nil {
		t.Error(err)
	}
}

// TestHTTP2ByALPN: HTTP/2 is offered with TLS unless it is turned off, and the properties of the handshake apply to it.
func TestHTTP2ByALPN(t *testing.T) {
	for _, off := range []bool{false, true} {
		dir := t.TempDir()
		writeCertificate(t, dir+"/a", 1, "a.test")
		b := record(t, lbtest.OK("x"))
		more := ""
		if off {
			more = "    http2 = false\n"
		}
		lb := start(t, "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \""+dir+"/a.pem\"\n      key = \""+dir+"/a.key\"\n    }\n"+more+"  }\n}\n"+
			strings.Replace(proxyTo("", b.Addr), "site \"s\" {\n", "site \"s\" {\n  hosts = [\"a.test\"]\n", 1))
		conn := lbtest.DialTLS(t, lb.addr(), &tls.Config{ServerName: "a.test", InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		protocol := conn.Conn.(*tls.Conn).ConnectionState().NegotiatedProtocol
		if off {
			if protocol != "http/1.1" {
				t.Errorf("%q was agreed upon", protocol)
			}
			continue
		}
		if protocol != "h2" {
			t.Fatalf("%q was agreed upon", protocol)
		}
		c := lbtest.NewHTTP2(t, conn)
		c.Get(1, "/")
		if r := c.Await(1); r.Status != 200 {
			t.Errorf("%+v (%v)", r, c.Err)
		}
		if head, _ := b.last(); strings.Join(lbtest.Fields(head, "X-Forwarded-Proto"), "|") != "https" {
			t.Errorf("%q", head)
		}
		c.Headers(3, true, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "b.test")
		if r := c.Await(3); r.Status != http.StatusNotFound && r.Status != http.StatusMisdirectedRequest {
			t.Errorf("%+v", r)
		}
		strange := lbtest.DialTLS(t, lb.addr(), &tls.Config{ServerName: "c.test", InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		c = lbtest.NewHTTP2(t, strange)
		c.Headers(1, true, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "a.test")
		if r := c.Await(1); r.Status != http.StatusMisdirectedRequest {
			t.Errorf("a connection for a name of no site: %+v", r)
		}
		lbtest.Eventually(t, "the access log has it", func() bool { return strings.Contains(lb.read("access.log"), `"protocol":"HTTP/2.0"`) })
		client := &http.Client{Transport: &http.Transport{
			ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{ServerName: "a.test", InsecureSkipVerify: true},
		}, Timeout: 20 * time.Second}
		request, _ := http.NewRequest("POST", "https://"+lb.addr()+"/go", strings.NewReader(strings.Repeat("y", 1_000_000)))
		request.Host = "a.test"
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.ProtoMajor != 2 || r.StatusCode != 200 {
			t.Errorf("%v %v", r.Proto, r.Status)
		}
		if _, body := b.last(); len(body) != 1_000_000 {
			t.Errorf("the backend got %d bytes", len(body))
		}
		client.CloseIdleConnections()
	}
}

// TestHTTP2WebSocket: a WebSocket by extended CONNECT becomes an HTTP/1.1 WebSocket to the backend.
func TestHTTP2WebSocket(t *testing.T) {
	heads := make(chan string, 2)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		head := c.ReadHead()
		if head == "" {
			return
		}
		heads <- head
		if strings.Contains(head, "/no ") {
			c.Send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			return
		}
		c.Send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello")
		if c.Expect(t, "bytes") {
			c.Send("and back")
			c.CloseWrite()
			c.Ended()
		}
	})
	lb := start(t, plainHTTP2+proxyTo("", b.Addr))
	c := lb.dialHTTP2()
	connect := func(id uint32, path string) {
		c.Headers(id, false, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", path, ":authority", "a.test",
			"sec-websocket-version", "13", "sec-websocket-protocol", "chat")
	}
	connect(1, "/chat")
	c.WriteData(1, false, []byte("bytes")) // it need not wait
	r := c.Stream(1)
	c.Until(func() bool { return r.Ended || r.Reset != nil })
	if r.Status != 200 || r.Body != "helloand back" || r.Field("sec-websocket-protocol") != "chat" || r.Field("upgrade") != "" || !r.Ended {
		t.Errorf("%+v", r)
	}
	c.WriteData(1, true, nil)
	head := <-heads
	if !strings.HasPrefix(head, "GET /chat HTTP/1.1\r\n") || strings.Join(lbtest.Fields(head, "Upgrade"), "|") != "websocket" ||
		strings.Join(lbtest.Fields(head, "Connection"), "|") != "Upgrade" || len(lbtest.Fields(head, "Sec-WebSocket-Key")) != 1 ||
		len(lbtest.Fields(head, "Content-Length"))+len(lbtest.Fields(head, "Transfer-Encoding")) != 0 {
		t.Errorf("the backend got %q", head)
	}
	connect(3, "/no")
	if r := c.Await(3); r.Status != 403 || r.Body != "no" {
		t.Errorf("%+v", r)
	}
	lbtest.Eventually(t, "no tunnel is left", func() bool { return lb.metric(`lb_upgraded_connections{site="s"}`) == "0" })
}
