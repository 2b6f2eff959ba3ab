package proxy

import (
	"testing"

	"lb/http1"
	"lb/message"
)

// FuzzHandlerHead: fasthttp reads every request head that http1 accepts, and sees the same method, target and host.
func FuzzHandlerHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a:80\r\nConnection: close, x\r\nX: \r\n\r\n",
		"POST http://a/b?c#d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\nExpect: 100-continue\r\n\r\n",
		"GET //x HTTP/1.1\r\nHost: a\r\nCookie: a=b; c\r\nCookie: d\r\nUser-Agent: x\r\nUser-Agent: y\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:\r\nUpgrade: x\r\nConnection: upgrade\r\nTE: trailers\r\nContent-Type: a\r\n\r\n",
		"BREW /\xff HTTP/1.1\r\nHost: [::1]\r\nX-\xc3: b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h http1.RequestHead
		var scan http1.HeadScan
		end, refused := h.Read(b, &scan, 100)
		if end == 0 || refused != nil {
			return
		}
		c := contexts.Get().(*requestContext)
		defer c.release()
		if err := c.fill(&h.Request); err != nil {
			t.Fatalf("%q: %v", b[:end], err)
		}
		if string(c.ctx.Method()) != string(h.Method) || string(c.ctx.RequestURI()) != string(h.Target) || string(c.ctx.Request.Header.Host()) != string(message.Lookup(h.Fields, message.Host)) {
			t.Fatalf("%q: %s %s of %q", b[:end], c.ctx.Method(), c.ctx.RequestURI(), c.ctx.Request.Header.Host())
		}
	})
}
