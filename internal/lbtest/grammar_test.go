package lbtest

import "testing"

func TestParseRequest(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n"
	for _, tc := range []struct {
		name, text    string
		body, framing string
		rest          string
		err           error
	}{
		{"plain", get + "\r\nmore", "", "none", "more", nil},
		{"length", get + "Content-Length: 2\r\n\r\nabc", "ab", "length", "c", nil},
		{"chunked", get + "Transfer-Encoding: Chunked\r\n\r\n1;x\r\na\r\n0\r\nT: 1\r\n\r\nb", "a", "chunked", "b", nil},
		{"cut head", get, "", "", "", ErrCut},
		{"cut body", get + "Content-Length: 2\r\n\r\na", "", "length", "", ErrCut},
		{"cut chunk", get + "Transfer-Encoding: chunked\r\n\r\n3\r\nab", "", "chunked", "", ErrCut},
		{"higher version without Host", "GET / HTTP/1.2\r\n\r\n", "", "", "", ErrGrammar},
		{"HTTP/2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "", "", "Host: a\r\n\r\n", ErrGrammar},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "", "", "", ErrGrammar},
		{"two hosts", get + "Host: a\r\n\r\n", "", "", "", ErrGrammar},
		{"two lengths", get + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "", "", "a", ErrGrammar},
		{"length and chunked", get + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", "", "", "a", ErrGrammar},
		{"chunked in HTTP/1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "", "", "", ErrGrammar},
		{"sign", get + "Content-Length: +1\r\n\r\na", "", "", "a", ErrGrammar},
		{"chunk size with a sign", get + "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", "", "chunked", "a\r\n0\r\n\r\n", ErrGrammar},
		{"bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", "", "", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrGrammar},
		{"space in a name", get + "A : b\r\n\r\n", "", "", "\r\n", ErrGrammar},
		{"fold", get + " b\r\n\r\n", "", "", "\r\n", ErrGrammar},
	} {
		m, rest, err := ParseRequest(tc.text)
		if m.Body != tc.body || m.Framing != tc.framing || rest != tc.rest || err != tc.err {
			t.Errorf("%s: %+v, rest %q, %v", tc.name, m, rest, err)
		}
	}
}

func TestParseResponse(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, tc := range []struct {
		name, method, text string
		ended              bool
		body, rest         string
		err                error
	}{
		{"length", "GET", ok + "Content-Length: 1\r\n\r\nab", false, "a", "b", nil},
		{"HEAD", "HEAD", ok + "Content-Length: 1\r\n\r\nab", false, "", "ab", nil},
		{"304", "GET", "HTTP/1.1 304\r\nContent-Length: 1\r\n\r\na", false, "", "a", nil},
		{"chunked", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nb", false, "a", "b", nil},
		{"to the end", "GET", ok + "\r\nabc", true, "abc", "", nil},
		{"to no end", "GET", ok + "\r\nabc", false, "abc", "", ErrCut},
		{"099", "GET", "HTTP/1.1 099 OK\r\n\r\n", true, "", "\r\n", ErrGrammar},
	} {
		m, rest, err := ParseResponse(tc.method, tc.text, tc.ended)
		if m.Body != tc.body || rest != tc.rest || err != tc.err {
			t.Errorf("%s: %+v, rest %q, %v", tc.name, m, rest, err)
		}
	}
}
