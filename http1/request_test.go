package http1

import (
	"strings"
	"testing"

	"lb/message"
)

func TestRequestHeadParse(t *testing.T) {
	const ok = "GET / HTTP/1.1\r\nHost: a\r\n"
	for _, tc := range []struct {
		name, head string
		want       *RequestError
	}{
		{"plain", ok + "\r\n", nil},
		{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", nil},
		{"port", "GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", nil},
		{"IPv6", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", nil},
		{"escape in host", "GET / HTTP/1.1\r\nHost: a%2db\r\n\r\n", nil},
		{"absolute-form", "GET http://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"absolute-form without path", "GET HTTPS://a?y HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"absolute-form in HTTP/1.0", "GET http://a/ HTTP/1.0\r\n\r\n", nil},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"two slashes", "GET //evil/://x HTTP/1.1\r\nHost: good\r\n\r\n", nil},
		{"tab and obs-text in a value", ok + "X: a\tb\xff\r\n\r\n", nil},
		{"empty value", ok + "X:\r\n\r\n", nil},
		{"length", ok + "Content-Length: 12\r\n\r\n", nil},
		{"chunked", ok + "Transfer-Encoding: Chunked\r\n\r\n", nil},
		{"expect", ok + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", nil},
		{"expectation of HTTP/1.0", "GET / HTTP/1.0\r\nExpect: x\r\n\r\n", nil},

		{"LF ends the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrBareLineEnd},
		{"LF ends a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", ErrBareLineEnd},
		{"LF as blank line", ok + "\nGET / HTTP/1.1\r\nHost: b\r\n\r\n", ErrBareLineEnd},
		{"CR in a value", ok + "X: a\rb\r\n\r\n", ErrValue},
		{"CR before the end", ok + "X: a\r\r\n\r\n", ErrValue},
		{"NUL in a value", ok + "X: a\x00b\r\n\r\n", ErrValue},
		{"DEL in a value", ok + "X: \x7f\r\n\r\n", ErrValue},
		{"fold", ok + "X: a\r\n b\r\n\r\n", ErrFolded},
		{"fold before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", ErrFolded},
		{"space in a name", ok + "X Y: a\r\n\r\n", ErrName},
		{"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", ErrName},
		{"no name", ok + ": a\r\n\r\n", ErrName},
		{"no colon", ok + "X\r\n\r\n", ErrName},
		{"NUL in a name", ok + "X\x00: a\r\n\r\n", ErrName},
		{"obs-text in a name", ok + "X\xe9: a\r\n\r\n", ErrName},

		{"no Host", "GET / HTTP/1.1\r\n\r\n", ErrNoHost},
		{"two Hosts", ok + "host: a\r\n\r\n", ErrTwoHosts},
		{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", ErrHost},
		{"Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ErrHost},
		{"Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ErrHost},
		{"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ErrHost},
		{"Host with a comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", ErrHost},
		{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n", ErrHost},
		{"Host with a big port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", ErrHost},
		{"Host with a port twice", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", ErrHost},
		{"Host with a port alone", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", ErrHost},
		{"Host with half an escape", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", ErrHost},
		{"Host of an address form to come", "GET / HTTP/1.1\r\nHost: [v1.a:b]\r\n\r\n", ErrHost},
		{"target of an address form to come", "GET http://[v1.a:b]/ HTTP/1.1\r\nHost: [v1.a:b]\r\n\r\n", ErrHost},
		{"Host that is no IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", ErrHost},
		{"Host with text after IPv6", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", ErrHost},
		{"other host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrHostMismatch},
		{"other port in the target", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrHostMismatch},
		{"user in the target", "GET http://a@b/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},

		{"length and chunked", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ErrLengthAndTE},
		{"chunked and length", ok + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", ErrLengthAndTE},
		{"two lengths", ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", ErrTwoLengths},
		{"length list", ok + "Content-Length: 1, 1\r\n\r\n", ErrLength},
		{"signed length", ok + "Content-Length: +1\r\n\r\n", ErrLength},
		{"hexadecimal length", ok + "Content-Length: 0x1\r\n\r\n", ErrLength},
		{"empty length", ok + "Content-Length:\r\n\r\n", ErrLength},
		{"huge length", ok + "Content-Length: 9999999999999999999\r\n\r\n", ErrLength},
		{"chunked twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ErrTE},
		{"identity", ok + "Transfer-Encoding: identity\r\n\r\n", ErrTE},
		{"gzip, chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ErrTE},
		{"xchunked", ok + "Transfer-Encoding: xchunked\r\n\r\n", ErrTE},
		{"empty TE", ok + "Transfer-Encoding:\r\n\r\n", ErrTE},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", ErrTE},

		{"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", ErrVersion},
		{"HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", ErrVersion},
		{"HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", ErrVersion},
		{"HTTP/1.2 without Host", "GET / HTTP/1.2\r\n\r\n", ErrNoHost},
		{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"HTTP/11", "GET / HTTP/11\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"HTTP/1.x", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"no version", "GET /\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"version with more", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", ErrRequestLine},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"leading space", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrRequestLine},
		{"fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"control byte in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"CR in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"non-ASCII byte in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"no slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"no authority", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", ErrTarget},
		{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", ErrMethod},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", ErrMethod},
		{"unknown expectation", ok + "Expect: 200-ok\r\n\r\n", ErrExpectation},
		{"one of two expectations unknown", ok + "Expect: 100-continue\r\nExpect: x\r\n\r\n", ErrExpectation},
		{"more after the blank line", ok + "\r\nGET", ErrRequestLine},
		{"no end", ok, ErrBareLineEnd},
		{"nothing", "", ErrBareLineEnd},
	} {
		var h RequestHead
		if got := h.Parse([]byte(tc.head), 0); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestRequestHeadFacts(t *testing.T) {
	var h RequestHead
	head := []byte("POST /a%2Fb?c HTTP/1.1\r\nhost: A:80 \r\nAccept: text/html\r\nexpect: 100-continue\r\nCONTENT-LENGTH:\t7 \r\n\r\n")
	if err := h.Parse(head, 0); err != nil {
		t.Fatal(err)
	}
	if string(h.Method) != "POST" || string(h.Target) != "/a%2Fb?c" || string(h.Authority) != "A:80" || h.Version != "HTTP/1.1" ||
		h.Minor != 1 || h.Length != 7 || !h.Announced || !h.Continue || h.Close {
		t.Errorf("%+v", h)
	}
	if err := h.Parse([]byte("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"), 0); err != nil || h.Continue || h.Length != 0 || h.Announced {
		t.Errorf("no body to wait for: %+v, %v", h, err)
	}
	if err := h.Parse([]byte("GET / HTTP/1.9\r\nHost: a\r\n\r\n"), 0); err != nil || h.Minor != 1 || h.Version != "HTTP/1.1" {
		t.Errorf("a higher minor version: %+v, %v", h, err)
	}
}

func TestRequestHeadParseAllocatesNothing(t *testing.T) {
	head := []byte("GET http://a/ HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nContent-Length: 5\r\nCookie: a=b\r\n\r\n")
	var h RequestHead
	if n := testing.AllocsPerRun(100, func() {
		if err := h.Parse(head, 0); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRequestHeadLimits: fields, options in Connection and the bytes of a host are counted.
func TestRequestHeadLimits(t *testing.T) {
	long := strings.Repeat("a", message.MaxHost)
	for _, tc := range []struct {
		name, head string
		want       *RequestError
	}{
		{"five fields", "Host: a\r\n" + strings.Repeat("A: b\r\n", 4), nil},
		{"six fields", "Host: a\r\n" + strings.Repeat("A: b\r\n", 5), ErrFields},
		{"16 options", "Host: a\r\nConnection: close" + strings.Repeat(",,a", 14) + "\r\nConnection: ,b\r\n", nil},
		{"17 options", "Host: a\r\nConnection: close" + strings.Repeat(",,a", 14) + "\r\nConnection: ,b,b\r\n", ErrConnection},
		{"a host of 255 bytes", "Host: " + long + ":80\r\n", nil},
		{"a host of 256 bytes", "Host: a" + long + "\r\n", ErrHost},
		{"an address of 256 bytes", "Host: [" + strings.Repeat(":", 256) + "]\r\n", ErrHost},
	} {
		var h RequestHead
		if err := h.Parse([]byte("GET / HTTP/1.1\r\n"+tc.head+"\r\n"), 5); err != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	var h RequestHead
	if err := h.Parse([]byte("GET http://a"+long+"/ HTTP/1.1\r\nHost: a"+long+"\r\n\r\n"), 5); err == nil {
		t.Error("a target with a host of 256 bytes passes")
	}
}

func BenchmarkRequestHead(b *testing.B) {
	head := []byte("GET /some/path?query=1 HTTP/1.1\r\nHost: clock.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n" +
		"Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n\r\n")
	var h RequestHead
	b.ReportAllocs()
	for b.Loop() {
		var scan HeadScan
		if n, err := h.Read(head, &scan, 100); n != len(head) || err != nil {
			b.Fatal(n, err)
		}
	}
}
