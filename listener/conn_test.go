package listener

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"lb/http1"
)

// TestEndsInEachPhase: a connection that ends, in any phase and in any way, leaves nothing behind: no count, no list entry, no
// goroutine.
func TestEndsInEachPhase(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.1 192.0.2.2 4567 80\r\n"
	phases := map[string]struct {
		proxied, secure bool
		sent            string
	}{
		"silent before a header":   {true, false, ""},
		"in a header":              {true, false, header[:9]},
		"silent after a header":    {true, false, header},
		"silent before TLS":        {false, true, ""},
		"silent after both":        {true, true, header},
		"in a handshake":           {false, true, "\x16\x03\x01"},
		"in a handshake, proxied":  {true, true, header + "\x16\x03\x01"},
		"silent before a request":  {false, false, ""},
		"in a head":                {false, false, "GET / H"},
		"in a head after a header": {true, false, header + "GET / H"},
		"in a body":                {false, false, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"},
		"idle":                     {false, false, ok + "\r\n"},
		"lingering":                {false, false, refused},
	}
	endings := map[string]func(*Set, *client, context.CancelFunc){
		"close": func(_ *Set, c *client, _ context.CancelFunc) { c.Close() },
		"reset": func(_ *Set, c *client, _ context.CancelFunc) {
			c.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
			c.Close()
		},
		"half-close": func(_ *Set, c *client, _ context.CancelFunc) { c.Conn.(interface{ CloseWrite() error }).CloseWrite() },
		"timeout":    func(*Set, *client, context.CancelFunc) {},
		"stop":       func(_ *Set, _ *client, stop context.CancelFunc) { stop() },
		"cut": func(s *Set, _ *client, _ context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		},
		"listener leaves": func(s *Set, _ *client, _ context.CancelFunc) {
			if err := s.Apply(Options{Handler: echo, Listeners: []ListenerOptions{{Address: "127.0.0.2:0"}}}); err != nil {
				t.Error(err)
			}
		},
	}
	for phaseName, p := range phases {
		for endingName, end := range endings {
			t.Run(phaseName+"/"+endingName, func(t *testing.T) {
				t.Parallel()
				l := oneListener(t, p.secure)
				l[0].ProxyProtocol, l[0].TrustedProxies = p.proxied, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				loops, stop := startLoops(t)
				timeout := time.Hour
				switch endingName {
				case "timeout":
					timeout = 100 * time.Millisecond
				case "listener leaves": // a body has the usual time
					timeout = 2 * time.Second
				}
				s := start(t, Options{Loops: loops, Listeners: l, Limits: Limits{ConnectionsPerIP: 1,
					Limits: http1.Limits{HeaderTimeout: timeout, IdleTimeout: timeout, BodyIdleTimeout: timeout}}})
				k := s.sockets[l[0].Address]
				c := dial(t, s)
				c.send(p.sent)
				eventually(t, func() bool { return k.open.Load() == 1 || endingName == "timeout" })
				switch phaseName {
				case "idle", "lingering":
					c.response("GET")
				}
				end(s, c, stop)
				eventually(t, func() bool {
					_, accepted := k.current.Load().Connections()
					return accepted == 1 && k.open.Load() == 0 && s.Open() == 0 && addresses(s) == 0
				})
			})
		}
	}
}
