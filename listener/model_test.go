package listener

import (
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lb/http1"
	"lb/telemetry"
)

// TestRandomClients: clients act at random, in pieces of any size, while listeners change and finally shut down. Correct clients get
// their responses, and nothing is left behind: the harness checks all counters afterwards.
func TestRandomClients(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.1 192.0.2.2 4567 80\r\n"
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	secure := oneListener(t, true)[0].TLS
	listeners := []ListenerOptions{
		{Address: freePort(t)},
		{Address: freePort(t), TLS: secure},
		{Address: freePort(t), ProxyProtocol: true, TrustedProxies: loopback},
		{Address: freePort(t), ProxyProtocol: true, TrustedProxies: loopback, TLS: secure},
	}
	registry := telemetry.NewRegistry()
	limits := Limits{Limits: http1.Limits{HeaderTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond, BodyIdleTimeout: 200 * time.Millisecond},
		MaxConnections: 24, ConnectionsPerIP: 12}
	o := Options{Handler: echo, Metrics: registry, Listeners: listeners, Limits: limits}
	s := start(t, o)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	var served, turnedAway atomic.Int32

	behave := func(r *rand.Rand) {
		l := &listeners[r.IntN(len(listeners))]
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+r.IntN(3)))}}
		nc, err := d.Dial("tcp", l.Address)
		if err != nil {
			return // shutting down, or the listener was removed
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(patience))
		pieces := &slicer{Conn: nc, r: r}
		if l.ProxyProtocol && r.IntN(8) > 0 {
			io.WriteString(pieces, header)
		}
		var c net.Conn = pieces
		if l.TLS != nil && r.IntN(8) > 0 {
			c = tls.Client(pieces, &tls.Config{InsecureSkipVerify: true})
		}
		for range 1 + r.IntN(3) {
			switch r.IntN(8) {
			case 0:
				io.WriteString(c, refused)
			case 1:
				io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx")
			case 2:
				io.WriteString(c, "GET / H")
			case 3:
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond) // a client that pauses, perhaps too long
			default:
				io.WriteString(c, ok+"\r\n")
				var status [len("HTTP/1.1 200")]byte
				if _, err := io.ReadFull(c, status[:]); err == nil {
					switch string(status[9:]) {
					case "200":
						served.Add(1)
					case "429", "503":
						turnedAway.Add(1)
					}
				}
			}
		}
		switch r.IntN(3) {
		case 0:
			nc.(*net.TCPConn).SetLinger(0)
		case 1:
			nc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, nc)
		}
	}

	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range 40 {
		r := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					behave(r)
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(uint64(seed), 1000))
	for range 10 {
		at := served.Load()
		eventually(t, func() bool { return served.Load() > at+10 })
		o.Listeners = listeners[r.IntN(2):]
		o.Limits.HeaderSize = 1024 + r.IntN(2)
		if err := s.Apply(o); err != nil {
			t.Error(err)
		}
		if n := s.Open(); n > limits.MaxConnections+len(listeners) {
			t.Errorf("%d connections are open", n)
		}
	}
	shutdown(t, s)
	close(stop)
	clients.Wait()
	if served.Load() == 0 || turnedAway.Load() == 0 {
		t.Errorf("%d requests were served, %d turned away", served.Load(), turnedAway.Load())
	}
}

// slicer writes in pieces.
type slicer struct {
	net.Conn
	r *rand.Rand
}

func (s *slicer) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		k := min(1+s.r.IntN(200), len(b))
		var m int
		m, err = s.Conn.Write(b[:k])
		n += m
		b = b[k:]
	}
	return n, err
}
