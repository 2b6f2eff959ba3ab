package listener

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lb/http1"
)

// proxyV2 returns a version 2 header with the given addresses and extra bytes after them.
func proxyV2(command, family byte, extra int, source, destination string) string {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n")
	var addresses []byte
	if source != "" {
		s, d := netip.MustParseAddrPort(source), netip.MustParseAddrPort(destination)
		addresses = append(addresses, s.Addr().AsSlice()...)
		addresses = append(addresses, d.Addr().AsSlice()...)
		addresses = binary.BigEndian.AppendUint16(addresses, s.Port())
		addresses = binary.BigEndian.AppendUint16(addresses, d.Port())
	}
	addresses = append(addresses, make([]byte, extra)...)
	b = append(b, 0x20|command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(addresses)))
	return string(append(b, addresses...))
}

var proxyHeaders = []struct {
	name, header string
	peer         string // "": closed; "self": the TCP peer
}{
	{"v1", "PROXY TCP4 192.0.2.1 192.0.2.2 4567 80\r\n", "192.0.2.1:4567"},
	{"v1 IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4567 80\r\n", "[2001:db8::1]:4567"},
	{"v1 unknown", "PROXY UNKNOWN\r\n", "self"},
	{"v1 unknown with more", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "self"},
	{"v2", proxyV2(1, 0x11, 0, "192.0.2.1:4567", "192.0.2.2:80"), "192.0.2.1:4567"},
	{"v2 IPv6", proxyV2(1, 0x21, 0, "[2001:db8::1]:4567", "[2001:db8::2]:80"), "[2001:db8::1]:4567"},
	{"v2 with extensions", proxyV2(1, 0x11, 300, "192.0.2.1:4567", "192.0.2.2:80"), "192.0.2.1:4567"},
	{"v2 local", proxyV2(0, 0x00, 0, "", ""), "self"},
	{"v2 local with addresses", proxyV2(0, 0x11, 0, "192.0.2.1:4567", "192.0.2.2:80"), "self"},
	{"v2 unspecified", proxyV2(1, 0x00, 0, "", ""), "self"},
	{"v2 unix", proxyV2(1, 0x31, 216, "", ""), "self"},
	{"v2 unix datagrams", proxyV2(1, 0x32, 216, "", ""), "self"},
	{"v2 UDP", proxyV2(1, 0x12, 0, "192.0.2.1:4567", "192.0.2.2:80"), "self"},
	{"v2 UDP over IPv6", proxyV2(1, 0x22, 0, "[2001:db8::1]:4567", "[2001:db8::2]:80"), "self"},

	{"none", "", ""},
	{"v1 without CR", "PROXY TCP4 192.0.2.1 192.0.2.2 4567 80\n", ""},
	{"v1 wrong family", "PROXY TCP6 192.0.2.1 192.0.2.2 4567 80\r\n", ""},
	{"v1 too few fields", "PROXY TCP4 192.0.2.1 192.0.2.2 4567\r\n", ""},
	{"v1 two spaces", "PROXY  TCP4 192.0.2.1 192.0.2.2 4567 80\r\n", ""},
	{"v1 big port", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n", ""},
	{"v1 no address", "PROXY TCP4 a b 1 2\r\n", ""},
	{"v1 zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", ""},
	{"v1 too long", "PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n", ""},
	{"v1 in lower case", "proxy TCP4 192.0.2.1 192.0.2.2 4567 80\r\n", ""},
	{"v2 too short", proxyV2(1, 0x11, 4, "", ""), ""},
	{"v2 other version", strings.Replace(proxyV2(0, 0, 0, "", ""), "\x20", "\x10", 1), ""},
	{"v2 other command", proxyV2(2, 0x00, 0, "", ""), ""},
	{"v2 unknown family", proxyV2(1, 0x44, 0, "", ""), ""},
	{"v2 unknown family over TCP", proxyV2(1, 0x41, 12, "", ""), ""},
	{"v2 unknown protocol", proxyV2(1, 0x13, 0, "192.0.2.1:4567", "192.0.2.2:80"), ""},
	{"v2 unspecified family over TCP", proxyV2(1, 0x01, 12, "", ""), ""},
	{"v2 huge", proxyV2(1, 0x00, 9000, "", ""), ""},
}

func TestProxyHeader(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := start(t, Options{Handler: peerOf, Limits: Limits{Limits: http1.Limits{HeaderTimeout: patience}}, Listeners: []ListenerOptions{{Address: "127.0.0.1:0", ProxyProtocol: true, TrustedProxies: loopback}}})
	for _, tc := range proxyHeaders {
		for _, pieces := range []int{1, 1000} {
			c := dial(t, s)
			want := tc.peer
			if want == "self" {
				want = c.LocalAddr().String()
			}
			all := tc.header + "GET / HTTP/1.0\r\n\r\n"
			for piece := range chunksOf(all, max(1, len(all)/pieces)) {
				if _, err := c.Write([]byte(piece)); err != nil {
					break
				}
			}
			_, got, _ := strings.Cut(c.closed(), "\r\n\r\n")
			if got != want {
				t.Errorf("%s in %d pieces: %q, want %q", tc.name, pieces, got, want)
			}
		}
	}
}

func chunksOf(s string, n int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(s) > 0 {
			k := min(n, len(s))
			if !yield(s[:k]) {
				return
			}
			s = s[k:]
		}
	}
}

// TestProxyHeaderBeforeTLS: the handshake gets what follows the header, whether it is received together with the header or later.
func TestProxyHeaderBeforeTLS(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	l := oneListener(t, true)
	l[0].ProxyProtocol, l[0].TrustedProxies = true, loopback
	s := start(t, Options{Handler: peerOf, Listeners: l})
	for _, tc := range proxyHeaders {
		if !strings.HasPrefix(tc.peer, "192.") && !strings.HasPrefix(tc.peer, "[") {
			continue
		}
		for _, apart := range []bool{false, true} {
			c := dial(t, s)
			var first net.Conn = &prefixed{c.Conn, tc.header}
			if apart {
				c.send(tc.header)
				first = c.Conn
			}
			c = newClient(t, tls.Client(first, &tls.Config{InsecureSkipVerify: true}))
			c.send(ok + "\r\n")
			if _, body := c.response("GET"); body != tc.peer {
				t.Errorf("%s, apart: %v: %q", tc.name, apart, body)
			}
		}
	}
}

// prefixed sends a prefix together with the first write.
type prefixed struct {
	net.Conn
	prefix string
}

func (p *prefixed) Write(b []byte) (int, error) {
	if p.prefix == "" {
		return p.Conn.Write(b)
	}
	n, err := p.Conn.Write(append([]byte(p.prefix), b...))
	n = max(n-len(p.prefix), 0)
	p.prefix = ""
	return n, err
}

func TestProxyHeaderFromUntrustedPeer(t *testing.T) {
	s := start(t, Options{Handler: peerOf, Listeners: []ListenerOptions{{Address: "127.0.0.1:0", ProxyProtocol: true,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}})
	c := dial(t, s)
	c.send("PROXY TCP4 192.0.2.1 192.0.2.2 4567 80\r\n" + ok + "\r\n")
	if got := c.closed(); got != "" {
		t.Errorf("%q", got)
	}
}

func TestProxyHeaderHasADeadline(t *testing.T) {
	s := start(t, Options{Limits: Limits{Limits: http1.Limits{HeaderTimeout: 50 * time.Millisecond}}, Listeners: []ListenerOptions{{Address: "127.0.0.1:0", ProxyProtocol: true,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}}})
	c := dial(t, s)
	c.send("PROXY TCP4 ")
	if got := c.closed(); got != "" {
		t.Errorf("%q", got)
	}
}
