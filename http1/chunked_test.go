package http1

import (
	"bytes"
	"strings"
	"testing"
)

// decode runs the decoder over body in pieces of the given sizes, cyclically.
func decode(body []byte, sizes ...int) (payload string, read int, done bool, trailer string, err error) {
	var d ChunkDecoder
	var out []byte
	for i := 0; read < len(body) && !d.Done(); i++ {
		piece := bytes.Clone(body[read:min(len(body), read+max(1, sizes[i%len(sizes)]))])
		p, n, err := d.Decode(piece)
		out = append(out, piece[:p]...)
		read += n
		if err != nil {
			return string(out), read, false, "", err
		}
		if n < len(piece) && !d.Done() {
			panic("bytes were left though the body goes on")
		}
	}
	return string(out), read, d.Done(), string(d.Trailer()), nil
}

func TestChunks(t *testing.T) {
	long := strings.Repeat("x", 0x1234)
	for _, tc := range []struct{ name, body, payload, trailer, rest string }{
		{"empty", "0\r\n\r\n", "", "", ""},
		{"one", "3\r\nabc\r\n0\r\n\r\n", "abc", "", ""},
		{"two", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", "", ""},
		{"hexadecimal", "1234\r\n" + long + "\r\n00\r\n\r\n", long, "", ""},
		{"letters", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", "", ""},
		{"leading zeros", "000000000000003\r\nabc\r\n0\r\n\r\n", "abc", "", ""},
		{"extensions", "3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", "abc", "", ""},
		{"sizes inside", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", "", ""},
		{"trailer", "0\r\nA: b\r\nC: d\r\n\r\n", "", "A: b\r\nC: d\r\n", ""},
		{"more after it", "1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", "a", "", "HTTP/1.1 200 OK\r\n"},
	} {
		for size := 1; size <= len(tc.body); size += 1 + size/8 {
			payload, read, done, trailer, err := decode([]byte(tc.body), size)
			if err != nil || !done || payload != tc.payload || trailer != tc.trailer || tc.body[read:] != tc.rest {
				t.Fatalf("%s, pieces of %d: %q %q %v %q %v", tc.name, size, payload, trailer, done, tc.body[read:], err)
			}
		}
		for cut := range len(tc.body) - len(tc.rest) {
			if _, read, done, _, err := decode([]byte(tc.body[:cut]), 7); err != nil || done || read != cut {
				t.Fatalf("%s, cut at %d: done %v, read %d, %v", tc.name, cut, done, read, err)
			}
		}
	}
	for name, body := range map[string]string{
		"no size": "\r\nabc", "extension alone": ";a\r\n", "sign": "+3\r\nabc", "prefix": "0x3\r\nabc", "space": " 3\r\nabc", "space behind": "3 \r\nabc",
		"no hexadecimal": "g\r\n", "LF": "3\nabc", "CR alone": "3\rabc", "too long": "3\r\nabcd\r\n", "LF behind": "3\r\nabc\n0\r\n\r\n",
		"huge": "8000000000000000\r\n", "more huge": "ffffffffffffffffff\r\n", "control byte": "3;a\x00\r\n", "LF in an extension": "3;a\nb\r\n",
		"long extension": "3;" + strings.Repeat("x", 257) + "\r\n", "long trailer": "0\r\n" + strings.Repeat("A: b\r\n", 4000),
		"no field in the trailer": "0\r\nGET / HTTP/1.1\r\n\r\n", "no name in the trailer": "0\r\n: a\r\n\r\n", "fold in the trailer": "0\r\nA: b\r\n c: d\r\n\r\n",
		"LF in the trailer": "0\r\nA: b\n\r\n", "CR in the trailer": "0\r\nA: b\rc\r\n\r\n", "LF ends": "0\r\n\n", "NUL in the trailer": "0\r\nA: \x00\r\n\r\n",
	} {
		for _, size := range []int{1, 2, 1 << 20} {
			if payload, _, done, _, err := decode([]byte(body), size); err == nil || done {
				t.Errorf("%s, pieces of %d: decoded to %q", name, size, payload)
			}
		}
	}
}

// A decoder that is reset keeps nothing of the previous body.
func TestChunksAgain(t *testing.T) {
	var d ChunkDecoder
	for range 3 {
		if p, n, err := d.Decode([]byte("1\r\na\r\n0\r\nA: b\r\n\r\n")); p != 1 || n != 17 || err != nil || !d.Done() || string(d.Trailer()) != "A: b\r\n" {
			t.Fatalf("%d %d %v %q", p, n, err, d.Trailer())
		}
		d.Reset(0)
		if _, _, err := d.Decode([]byte("5\r\nab")); d.Done() || len(d.Trailer()) != 0 || err != nil {
			t.Fatal("not reset")
		}
		d.Reset(0)
	}
}

func TestChunkDecoderAllocatesNothing(t *testing.T) {
	body := []byte("5\r\nhello\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n")
	buf := make([]byte, len(body))
	var d ChunkDecoder
	if n := testing.AllocsPerRun(100, func() {
		d.Reset(0)
		copy(buf, body)
		if p, _, err := d.Decode(buf); p != 8 || err != nil || !d.Done() {
			t.Fatal("not decoded")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
