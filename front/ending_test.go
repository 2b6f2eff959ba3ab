package front

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A handler that waits for something else than its client is told that the client was cut, so that it need not be waited for.
func TestShutdownTellsHandlersOfTheCut(t *testing.T) {
	for _, body := range []string{"", "Expect: 100-continue\r\nContent-Length: 5\r\n"} {
		entered := make(chan struct{})
		f := start(t, Options{Handler: func(ctx *fasthttp.RequestCtx) {
			c := ctx.Conn().(*Conn)
			gone := make(chan struct{})
			c.Await(func() { close(gone) })
			close(entered)
			<-gone
			c.EndAwait()
			c.Abort()
		}})
		c := dial(t, f)
		c.send(ok + body + "\r\n")
		<-entered
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := f.Shutdown(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "still run") {
			t.Errorf("%v", err)
		}
	}
}

// What is half there when the shutdown begins has a second to be whole, however much time it has otherwise.
func TestShutdownHurriesHalfAHead(t *testing.T) {
	for name, tc := range map[string]struct {
		listener ListenerOptions
		sent     string
		status   int // 0: no answer
	}{
		"head":         {ListenerOptions{}, "GET / HTTP/1.1\r\nHo", 408},
		"handshake":    {oneListener(t, true)[0], "\x16\x03\x01", 0},
		"PROXY header": {ListenerOptions{ProxyProtocol: true, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "PROX", 0},
	} {
		tc.listener.Address = "127.0.0.1:0"
		f := start(t, Options{Listeners: []ListenerOptions{tc.listener}, Limits: Limits{HeaderTimeout: time.Hour}})
		c := dial(t, f)
		c.send(tc.sent)
		shutdown(t, f)
		if tc.status == 0 {
			c.closed()
		} else if resp, _ := c.answer("GET"); resp.StatusCode != tc.status {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
}
