package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// FuzzChunkDecoder: the payload, its end and the verdict do not depend on the pieces in which a body arrives, and other parsers
// agree. Encoding the payload again and decoding it yields the same bytes.
func FuzzChunkDecoder(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n00\r\nA: b\r\n\r\nrest", "a\r\n0123456789\r\n0\r\n\r\n",
		"3 \r\nabc\r\n0\r\n\r\n", "1\r\na\r\n", "0x1\r\na\r\n0\r\n\r\n", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", "2\nab\r\n0\r\n\r\n", "1;\na\r\n0\r\n\r\n",
		"1\r\nab\r\n0\r\n\r\n", "0\r\nA : b\r\n\r\n", "0\r\n\nGET / HTTP/1.1\r\n\r\n", "fffffffffffffff\r\na", "10000000000000001\r\na\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), []byte{1, 3, 2})
	}
	f.Fuzz(func(t *testing.T, body, cuts []byte) {
		payload, read, done, trailer, err := decode(body, len(body))
		sizes := []int{1}
		for _, c := range cuts {
			sizes = append(sizes, int(c))
		}
		payload2, read2, done2, trailer2, err2 := decode(body, sizes[len(sizes)/2:]...)
		if payload != payload2 || read != read2 || done != done2 || trailer != trailer2 || (err == nil) != (err2 == nil) {
			t.Fatalf("%q: %q %d %v %q %v in one piece, %q %d %v %q %v in several", body, payload, read, done, trailer, err,
				payload2, read2, done2, trailer2, err2)
		}
		if !done {
			return
		}
		if again, err := encodeAndDecode(payload, sizes); again != payload || err != nil {
			t.Fatalf("%q came back as %q, %v", payload, again, err)
		}
		others(t, body, payload, trailer, read)
	})
}

// encodeAndDecode encodes the payload in chunks of the given sizes and decodes them.
func encodeAndDecode(payload string, sizes []int) (string, error) {
	var framed strings.Builder
	for i, rest := 0, payload; rest != ""; i++ {
		n := min(len(rest), 1+sizes[i%len(sizes)])
		fmt.Fprintf(&framed, "%X\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	framed.WriteString("0\r\n\r\n")
	again, read, done, _, err := decode([]byte(framed.String()), 7)
	if !done || read != framed.Len() {
		return again, fmt.Errorf("done %v after %d of %d bytes", done, read, framed.Len())
	}
	return again, err
}

// others compares with the grammar and with net/http.
func others(t *testing.T, body []byte, payload, trailer string, read int) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	m, rest, err := lbtest.ParseRequest(head + string(body))
	if err != nil || m.Body != payload || rest != string(body[read:]) {
		t.Fatalf("%q: %q, by the grammar %q, rest %q, %v", body, payload, m.Body, rest, err)
	}
	// The reader below leaves the trailer section, with its blank line, unread.
	r := bufio.NewReader(bytes.NewReader(body))
	theirs, err := io.ReadAll(httputil.NewChunkedReader(r))
	left, _ := io.ReadAll(r)
	if err != nil || string(theirs) != payload {
		if err != nil && strings.Contains(err.Error(), "excessively") {
			return // its guard against many extensions
		}
		t.Fatalf("%q: %q, net/http reads %q %v", body, payload, theirs, err)
	}
	if want := trailer + "\r\n" + string(body[read:]); string(left) != want {
		t.Fatalf("%q: the last chunk is followed by %q, net/http leaves %q", body, want, left)
	}
}
