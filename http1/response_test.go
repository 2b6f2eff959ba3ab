package http1

import (
	"errors"
	"strings"
	"testing"

	"lb/message"
)

func TestResponseHead(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tc := range []struct {
		name, head string
		want       error
	}{
		{"plain", ok + "\r\n", nil},
		{"no reason", "HTTP/1.1 200 \r\n\r\n", nil},
		{"no space either", "HTTP/1.1 200\r\n\r\n", nil},
		{"obs-text in the reason", "HTTP/1.1 200 \xe9t\xe9\r\n\r\n", nil},
		{"999", "HTTP/1.0 999 x\r\n\r\n", nil},
		{"length", ok + "Content-Length: 0\r\n\r\n", nil},
		{"chunked", ok + "Transfer-Encoding:\tChunked \r\n\r\n", nil},
		{"099", "HTTP/1.1 099 x\r\n\r\n", ErrStatusLine},
		{"four digits", "HTTP/1.1 2000\r\n\r\n", ErrStatusLine},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", ErrStatusLine},
		{"letters", "HTTP/1.1 2x0 OK\r\n\r\n", ErrStatusLine},
		{"sign", "HTTP/1.1 +20 OK\r\n\r\n", ErrStatusLine},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", ErrStatusLine},
		{"tab", "HTTP/1.1\t200 OK\r\n\r\n", ErrStatusLine},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", ErrStatusLine},
		{"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", ErrStatusLine},
		{"lower case", "http/1.1 200 OK\r\n\r\n", ErrStatusLine},
		{"control byte in the reason", "HTTP/1.1 200 a\x01\r\n\r\n", ErrStatusLine},
		{"CR in the reason", "HTTP/1.1 200 a\rb\r\n\r\n", ErrStatusLine},
		{"LF ends the status line", "HTTP/1.1 200 OK\nA: b\r\n\r\n", ErrStatusLine},
		{"nothing", "", ErrStatusLine},
		{"blank line alone", "\r\n\r\n", ErrEmptyLine},
		{"LF ends a field", ok + "A: b\nC: d\r\n\r\n", ErrLineEnd},
		{"fold", ok + "A: b\r\n c\r\n\r\n", ErrFold},
		{"fold at the start", ok + "\tA: b\r\n\r\n", ErrFold},
		{"space before the colon", ok + "A : b\r\n\r\n", ErrFieldName},
		{"no colon", ok + "A\r\n\r\n", ErrFieldName},
		{"no name", ok + ": b\r\n\r\n", ErrFieldName},
		{"NUL", ok + "A: \x00\r\n\r\n", ErrFieldValue},
		{"CR in a value", ok + "A: b\rc\r\n\r\n", ErrFieldValue},
		{"two lengths", ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", ErrFraming},
		{"list of lengths", ok + "Content-Length: 1, 1\r\n\r\n", ErrFraming},
		{"empty length", ok + "Content-Length:\r\n\r\n", ErrFraming},
		{"negative length", ok + "Content-Length: -1\r\n\r\n", ErrFraming},
		{"huge length", ok + "Content-Length: 9999999999999999999\r\n\r\n", ErrFraming},
		{"length and chunked", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", ErrFraming},
		{"chunked and length", ok + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", ErrFraming},
		{"chunked twice", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ErrFraming},
		{"gzip, chunked", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", ErrFraming},
		{"identity", ok + "Transfer-Encoding: identity\r\n\r\n", ErrFraming},
		{"empty coding", ok + "Transfer-Encoding:\r\n\r\n", ErrFraming},
		{"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ErrFraming},
	} {
		var h ResponseHead
		if got := h.Parse([]byte(tc.head)); !errors.Is(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestResponseHeadFacts(t *testing.T) {
	var h ResponseHead
	if err := h.Parse([]byte("HTTP/1.0 418 I'm a teapot\r\nA:  b c\t\r\ncontent-length: 7\r\nUpgrade: x\r\nConnection: Upgrade, A\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if h.Status != 418 || h.Minor != 0 || string(h.Reason) != "I'm a teapot" || len(h.Fields) != 4 || string(h.Fields[0].Value) != "b c" ||
		string(h.Fields[0].Line) != "A:  b c\t\r\n" || h.ContentLength != 7 || h.Chunked || !h.Close {
		t.Errorf("%+v", h)
	}
	if !h.Fields[0].Hop || h.Fields[1].Hop || !h.Fields[2].Hop || !h.Fields[3].Hop {
		t.Error("Connection names A and not Content-Length")
	}
	for head, close := range map[string]bool{
		"HTTP/1.1 200 OK\r\n": false, "HTTP/1.0 200 OK\r\n": true,
		"HTTP/1.1 200 OK\r\nConnection: CLOSE\r\n":                           true,
		"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n":                      false,
		"HTTP/1.1 200 OK\r\nConnection: a,close ,b\r\n":                      true,
		"HTTP/1.1 200 OK\r\nConnection: closed\r\n":                          false,
		"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n":                      false,
		"HTTP/1.0 200 OK\r\nConnection: close, keep-alive\r\n":               true,
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n": true,
	} {
		if err := h.Parse([]byte(head + "\r\n")); err != nil || h.Close != close {
			t.Errorf("%q: Close %v %v, want %v", head, h.Close, err, close)
		}
	}
}

func TestHeadEnd(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
	for cut := range len(head) {
		if got := HeadEnd([]byte(head[:cut]), 0); got != -1 {
			t.Errorf("an end at %d in %q", got, head[:cut])
		}
		if got := HeadEnd([]byte(head+"more"), cut); got != len(head) {
			t.Errorf("from %d: end %d, want %d", cut, got, len(head))
		}
	}
}

func TestResponseHeadAllocatesNothing(t *testing.T) {
	head := []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nCache-Control: no-store\r\n\r\n")
	var h ResponseHead
	if n := testing.AllocsPerRun(100, func() {
		if HeadEnd(head, 0) != len(head) || h.Parse(head) != nil {
			t.Fatal("not parsed")
		}
		if !h.Fields[3].Hop || message.Lookup(h.Fields, message.Host) != nil {
			t.Fatal("not parsed")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestConnectionOptions: the names are those of all Connection fields. The usual options and empty items do not count, and fields
// that frame a message cannot be named.
func TestConnectionOptions(t *testing.T) {
	var h ResponseHead
	head := "HTTP/1.1 200 OK\r\nConnection: ,, close,X-One , \r\nX-One: 1\r\nx-two: 2\r\nContent-Length: 0\r\nConnection: keep-alive,X-TWO,content-length,Upgrade\r\nX-Three: 3\r\nClose: 4\r\n\r\n"
	if err := h.Parse([]byte(head)); err != nil {
		t.Fatal(err)
	}
	var named []string
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Hop && f.Kind != message.Connection {
			named = append(named, string(f.Name))
		}
	}
	if got := strings.Join(named, " "); got != "X-One x-two" {
		t.Errorf("Connection names %q", got)
	}
	if err := h.Parse([]byte("HTTP/1.1 200 OK\r\nX-One: 1\r\n\r\n")); err != nil || h.Fields[0].Hop {
		t.Errorf("the names are those of the head before: %v", err)
	}
	many := strings.Repeat("Connection: a, b\r\n", MaxConnectionOptions/2)
	if err := h.Parse([]byte("HTTP/1.1 200 OK\r\n" + many + "\r\n")); err != nil {
		t.Errorf("%d options: %v", MaxConnectionOptions, err)
	}
	if err := h.Parse([]byte("HTTP/1.1 200 OK\r\n" + many + "Connection: close\r\n\r\n")); err != ErrOptions {
		t.Errorf("one option more: %v", err)
	}
}
