package server_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// proxyV2 is a PROXY header of version 2 as a backend reads it.
type proxyV2 struct {
	command, family byte
	addresses       string
	extensions      map[byte]string
}

// readProxyV2 reads a header; ok is false if there is none.
func readProxyV2(t testing.TB, c *lbtest.Conn) (h proxyV2, ok bool) {
	t.Helper()
	start := make([]byte, 16)
	if _, err := io.ReadFull(c, start); err != nil {
		return h, false
	}
	rest := make([]byte, binary.BigEndian.Uint16(start[14:]))
	if _, err := io.ReadFull(c, rest); err != nil || !bytes.HasPrefix(start, []byte("\r\n\r\n\x00\r\nQUIT\n")) {
		t.Errorf("no PROXY header of version 2: %q%q, %v", start, rest, err)
		return h, false
	}
	h = proxyV2{command: start[12], family: start[13], extensions: map[byte]string{}}
	n := map[byte]int{0x11: 12, 0x21: 36}[h.family]
	h.addresses = string(rest[:n])
	for rest = rest[n:]; len(rest) > 0; {
		length := int(binary.BigEndian.Uint16(rest[1:]))
		h.extensions[rest[0]] = string(rest[3 : 3+length])
		rest = rest[3+length:]
	}
	return h, true
}

// TestProxyProtocolBetweenTwo: lb as a backend of lb knows the client's address, with both versions, with and without TLS to the backend.
func TestProxyProtocolBetweenTwo(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/c"
	writeCertificate(t, path, 1, "app.test")
	app := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		for {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			c.Send(lbtest.OK(strings.Join(lbtest.Fields(head, "X-Real-IP"), "|")))
		}
	})
	for _, secure := range []bool{false, true} {
		listen, tls := "listen \"127.0.0.1:0\" {\n  proxy_protocol = true\n}\n", ""
		if secure {
			listen = strings.Replace(tlsListener, "{\n", "{\n  proxy_protocol = true\n", 1)
			tls = "  tls {\n    verify = false\n  }\n"
		}
		second := startTLS(t, path, "trusted_proxies = [\"127.0.0.1\"]\n"+listen+proxyTo("", app.Addr))
		for _, version := range []string{"v1", "v2"} {
			first := start(t, "trusted_proxies = [\"127.0.0.1\"]\nlisten \"127.0.0.1:0\" {\n  proxy_protocol = true\n}\n"+
				proxyTo(tls+"  proxy_protocol = \""+version+"\"\n  health {}\n", second.addr()))
			for _, source := range []string{"203.0.113.7", "2001:db8::7", "203.0.113.8", "203.0.113.7"} {
				family, own := "TCP4", "192.0.2.2"
				if strings.Contains(source, ":") {
					family, own = "TCP6", "2001:db8::2"
				}
				c := first.dial()
				c.Send(fmt.Sprintf("PROXY %s %s %s 4567 80\r\n", family, source, own))
				for range 2 {
					c.Send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.99\r\n\r\n")
					if r := c.ReadResponse("GET"); r.Status() != 200 || r.Body != source {
						t.Errorf("%s, TLS %v: %q, X-Real-IP %q, want %q", version, secure, r.Head, r.Body, source)
					}
				}
				c.Close()
			}
			first.stop()
		}
		second.stop()
	}
}

// TestProxyProtocolExtensions: a header of version 2 also says which server name and protocol TLS has agreed on, and the ID of the first
// request. Each client connection has a backend connection of its own; health checks come from lb itself.
func TestProxyProtocolExtensions(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/c"
	writeCertificate(t, path, 1, "app.test")
	var mu sync.Mutex
	var headers []proxyV2
	var ids []string // of the first request on each connection
	probes := 0
	app := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		h, ok := readProxyV2(t, c)
		for first := true; ok; first = false {
			head, _ := c.ReadRequest()
			if head == "" {
				return
			}
			mu.Lock()
			if h.command == 0x20 {
				probes++
				if !strings.Contains(head, "lb-health") {
					t.Errorf("a request of a client came without its address: %q", head)
				}
			} else if first {
				headers, ids = append(headers, h), append(ids, lbtest.Fields(head, "X-Request-Id")[0])
			}
			mu.Unlock()
			c.Send(lbtest.OK("x"))
		}
	})
	lb := startTLS(t, path, tlsListener+"listen \"unix:$DIR/lb.sock\" {}\n"+proxyTo("  proxy_protocol = \"v2\"\n  health {\n    interval = \"50ms\"\n  }\n", app.Addr))
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "App.test"}
	h1 := lbtest.DialTLS(t, lb.addr(), config)
	for range 2 {
		h1.Send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
		if r := h1.ReadResponse("GET"); r.Status() != 200 {
			t.Fatalf("%q", r.Head)
		}
	}
	h2 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer h2.CloseIdleConnections()
	if r, err := h2.Get("https://" + lb.addr() + "/"); err != nil || r.StatusCode != 200 || r.ProtoMajor != 2 {
		t.Fatalf("%v, %v", r, err)
	} else {
		_ = r.Body.Close()
	}
	plain := lb.dialUnix("lb.sock")
	plain.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if r := plain.ReadResponse("GET"); r.Status() != 200 {
		t.Fatalf("%q", r.Head)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(headers) != 3 || probes == 0 {
		t.Fatalf("%d connections of clients, %d of health checks", len(headers), probes)
	}
	const ssl = "\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3"
	for i, want := range []proxyV2{
		{0x21, 0x11, "", map[byte]string{0x02: "app.test", 0x05: ids[0], 0x20: ssl}},
		{0x21, 0x11, "", map[byte]string{0x01: "h2", 0x05: ids[1], 0x20: ssl}},
		{0x21, 0x00, "", map[byte]string{0x05: ids[2]}},
	} {
		got := headers[i]
		if got.command != want.command || got.family != want.family || fmt.Sprint(got.extensions) != fmt.Sprint(want.extensions) {
			t.Errorf("connection %d: %+v, want %+v", i, got, want)
		}
	}
	own := h1.LocalAddr().String()
	if a := headers[0].addresses; own != fmt.Sprintf("127.0.0.1:%d", binary.BigEndian.Uint16([]byte(a[8:]))) || a[:4] != "\x7f\x00\x00\x01" {
		t.Errorf("the addresses are %q, the client is %s", a, own)
	}
}

// TestProxyProtocolAfterReload: a changed version holds for all connections from then on.
func TestProxyProtocolAfterReload(t *testing.T) {
	t.Parallel()
	starts := make(chan string, 9)
	app := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		b := make([]byte, 5)
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		starts <- string(b)
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(lbtest.OK("x"))
		}
	})
	text := func(more string) string { return proxyTo(more, app.Addr) }
	lb := start(t, text(""))
	c := lb.dial()
	for _, step := range []struct{ config, want string }{
		{"", "GET /"}, {"  proxy_protocol = \"v1\"\n", "PROXY"}, {"  proxy_protocol = \"v2\"\n", "\r\n\r\n\x00"}, {"  proxy_protocol = \"\"\n", "GET /"},
	} {
		if err := lb.reload(text(step.config)); err != nil {
			t.Fatal(err)
		}
		c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if r := c.ReadResponse("GET"); r.Status() != 200 {
			t.Fatalf("%q: %q", step.config, r.Head)
		}
		if got, _ := lbtest.Wait(t, "a connection", starts); got != step.want {
			t.Errorf("%q: the connection begins with %q, want %q", step.config, got, step.want)
		}
		select {
		case more := <-starts:
			t.Errorf("%q: another connection begins with %q", step.config, more)
		default:
		}
	}
}
