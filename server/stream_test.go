package server_test

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// tlsListen is the configuration of a TLS listener whose certificate is written to dir.
func tlsListen(t *testing.T, dir string) string {
	writeCertificate(t, dir+"/c", 1, "a")
	return "listen \"127.0.0.1:0\" {\n  tls {\n    certificate {\n      cert = \"" + dir + "/c.pem\"\n      key = \"" + dir + "/c.key\"\n    }\n  }\n}\n"
}

// TestEventsComeOneByOne: each event of a stream reaches the client before the backend sends the next one, in each framing, and
// the client can tell the end of the stream.
func TestEventsComeOneByOne(t *testing.T) {
	const events = 20
	event := func(i int) string { return fmt.Sprintf("id: %02d\ndata: %s\n\n", i, strings.Repeat("x", i*i*10)) }
	total := 0
	for i := range events {
		total += len(event(i))
	}
	for _, framing := range []string{"Transfer-Encoding: chunked", "Connection: close", "Content-Length: " + strconv.Itoa(total)} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %v", framing, secure), func(t *testing.T) {
				chunked := strings.HasPrefix(framing, "Transfer")
				next := make(chan struct{})
				b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
					c.ReadRequest()
					c.Send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + "\r\n\r\n")
					for i := range events {
						if _, ok := lbtest.Wait(t, "leave to send", next); !ok {
							return
						}
						text := event(i)
						if chunked {
							text = fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
						}
						c.Send(text)
					}
					if chunked {
						c.Send("0\r\n\r\n")
					}
				})
				listen := ""
				if secure {
					listen = tlsListen(t, t.TempDir())
				}
				lb := start(t, listen+proxyTo("", b.Addr))
				dial := lb.dial
				if secure {
					dial = func() *lbtest.Conn { return lbtest.DialTLS(t, lb.addr(), &tls.Config{InsecureSkipVerify: true}) }
				}
				c := dial()
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				head := c.ReadHead()
				for i := range events {
					next <- struct{}{}
					text := event(i)
					if len(lbtest.Fields(head, "Transfer-Encoding")) > 0 {
						text = fmt.Sprintf("%x\r\n%s\r\n", len(text), text)
					}
					if !c.Expect(t, text) {
						return
					}
				}
				if len(lbtest.Fields(head, "Transfer-Encoding")) > 0 {
					c.Expect(t, "0\r\n\r\n")
				}
				c.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") // the client knows where the response ends
				if head := c.ReadHead(); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
					t.Errorf("the next response begins with %q", head)
				}
				close(next)
			})
		}
	}
}
