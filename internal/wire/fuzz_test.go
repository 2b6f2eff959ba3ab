package wire

import (
	"bytes"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// next is a request or an answer behind the one under test: whoever reads the first one to another
// end does not find it.
const (
	nextRequest = "POST /next HTTP/1.1\r\nHost: next\r\nContent-Length: 4\r\n\r\nnext"
	nextAnswer  = "HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nnext"
)

// FuzzRequestHead: what passes the check is one head whichever way it is cut, both of our parsers read the
// same of it, and so does everybody else: method, target, host, and where the next request begins.
func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST http://a/b HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n", "GET /a%2Fb?c=d%zz&e HTTP/1.1\r\nhOsT:\tA:80 \r\nA:\r\nA: \x80\xff\r\n\r\n",
		"PUT HTTPS://a?b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 07\r\n\r\n", "GET // HTTP/1.0\r\nConnection: close, x\r\nX: 1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 9\r\n\r\n",
		"POST / HTTP/1.7\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a%41b\r\nX-Forwarded-For: 1\r\nX_Forwarded_For: 2\r\nContent_Length: 9\r\nTrailer: Host\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		head = bytes.Clone(head) // it is changed below
		var h RequestHead
		if h.Check(head, 0) != nil {
			return
		}
		checkFields(t, head, &h)
		if h.Minor == 1 {
			h.Version[len("HTTP/1.")] = '1' // as it is passed on, whatever a reader makes of a higher one
		}
		if h.ContentLength > 1<<16 {
			return // a body would be made up below
		}
		body := strings.Repeat("x", int(max(0, h.ContentLength)))
		framed := body
		if h.Chunked {
			body, framed = "abc", "1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"
		}
		host := string(h.Host)
		want := lbtest.Request{Method: string(h.Method), Target: string(h.Target), Host: host, Chunked: h.Chunked, Body: body}
		next := lbtest.Request{Method: "POST", Target: "/next", Host: "next", Body: "next"}
		for _, reader := range lbtest.Readers() {
			got, err := reader.Read([]byte(string(head) + framed + nextRequest))
			if err != nil && len(got) == 0 && lbtest.Stricter(err) {
				continue
			}
			if err != nil || len(got) != 2 {
				t.Fatalf("%q: %s reads %+v, %v", head, reader.Name, got, err)
			}
			if authority, ok := TargetAuthority(h.Target); ok && (host == "" || strings.EqualFold(got[0].Host, string(authority))) {
				got[0].Host = host // a reader may take it from the target, which names the same
			}
			if got[0] != want || got[1] != next {
				t.Fatalf("%q: %+v; %s reads %+v", head, want, reader.Name, got)
			}
		}
	})
}

// checkFields compares what Check has read with the lines themselves, and with what ParseFields reads.
func checkFields(t *testing.T, head []byte, h *RequestHead) {
	s := string(head)
	line, block, _ := strings.Cut(s, "\r\n")
	if want := string(h.Method) + " " + string(h.Target) + " " + string(h.Version); line != want || !strings.HasPrefix(string(h.Version), "HTTP/1.") {
		t.Fatalf("request line %q, read as %q", line, want)
	}
	fields, err := ParseFields([]byte(block[:len(block)-2]), nil)
	if err != nil {
		t.Fatalf("%q passes, but its fields do not: %v", s, err)
	}
	var again strings.Builder
	count := map[Kind]int{}
	for i := range fields {
		again.Write(fields[i].Line)
		count[fields[i].Kind]++
	}
	if again.String()+"\r\n" != block {
		t.Fatalf("%q comes back as %q", block, again.String())
	}
	if count[Host] > 1 || count[Host] == 0 && h.Minor == 1 || count[ContentLengthField]+count[TransferEncoding] > 1 ||
		(count[TransferEncoding] == 1) != h.Chunked || (count[ContentLengthField] == 1) != (h.ContentLength >= 0) ||
		h.HasBody() != (h.Chunked || h.ContentLength > 0) || h.Continue && !h.HasBody() ||
		!bytes.Equal(h.Host, Lookup(fields, Host)) || (h.Minor == 0) != (string(h.Version) == "HTTP/1.0") {
		t.Fatalf("%q read as %+v", s, h)
	}
}
