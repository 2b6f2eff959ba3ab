package http1

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"lb/internal/lbtest"
	"lb/message"
)

// next is a request or response that follows the one under test: a parser that sees another end of the first one does not
// find it.
const (
	nextRequest  = "POST /next HTTP/1.1\r\nHost: next\r\nContent-Length: 4\r\n\r\nnext"
	nextResponse = "HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nnext"
)

// FuzzRequestHead: an accepted head does not depend on the pieces in which it arrives, and all parsers agree on its method, target,
// host, and where the next request begins.
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
		var h RequestHead
		if h.Parse(head, 0) != nil {
			return
		}
		checkFields(t, head, &h)
		checkPieces(t, head, &h)
		if clone := h.Clone(); len(h.Fields) > 0 && !reflect.DeepEqual(*clone, h) {
			t.Fatalf("%q: %+v is a copy of %+v", head, clone, h)
		}
		// As forwarded, regardless of how a parser treats a higher version.
		head = []byte(string(h.Method) + " " + string(h.Target) + " " + h.Version + string(head[bytes.IndexByte(head, '\r'):]))
		if h.Length > 1<<16 {
			return // a body would be generated below
		}
		chunked := h.Length < 0
		body := strings.Repeat("x", int(max(0, h.Length)))
		framed := body
		if chunked {
			body, framed = "abc", "1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"
		}
		host := string(message.Lookup(h.Fields, message.Host))
		want := lbtest.Request{Method: string(h.Method), Target: string(h.Target), Host: host, Chunked: chunked, Body: body}
		next := lbtest.Request{Method: "POST", Target: "/next", Host: "next", Body: "next"}
		for _, reader := range lbtest.Readers() {
			got, err := reader.Read([]byte(string(head) + framed + nextRequest))
			if err != nil && len(got) == 0 && lbtest.Stricter(err) {
				continue
			}
			if err != nil || len(got) != 2 {
				t.Fatalf("%q: %s reads %+v, %v", head, reader.Name, got, err)
			}
			if authority, ok := message.TargetAuthority(h.Target); ok && (host == "" || strings.EqualFold(got[0].Host, string(authority))) {
				got[0].Host = host // a parser may take it from the target, which has the same
			}
			if got[0] != want || got[1] != next {
				t.Fatalf("%q: %+v; %s reads %+v", head, want, reader.Name, got)
			}
		}
	})
}

// sentVersion returns the version in the request line.
func sentVersion(head []byte) string {
	line, _, _ := strings.Cut(string(head), "\r\n")
	return line[strings.LastIndexByte(line, ' ')+1:]
}

// checkPieces checks that a head in two pieces, after an empty line and before another request, is read as in one piece.
func checkPieces(t *testing.T, head []byte, h *RequestHead) {
	stream := []byte("\r\n" + string(head) + nextRequest)
	for _, cut := range []int{0, 1, 2, 3, len(head) / 2, len(head), len(head) + 1, len(head) + 2, len(stream)} {
		var again RequestHead
		var scan HeadScan
		n, err := again.Read(stream[:cut], &scan, 0)
		if n == 0 && err == nil {
			n, err = again.Read(stream, &scan, 0)
		}
		if err != nil || n != len(head)+2 || string(again.Target) != string(h.Target) || len(again.Fields) != len(h.Fields) {
			t.Fatalf("%q, cut at %d: %d bytes, %+v, %v; as a whole %+v", stream, cut, n, again, err, h)
		}
	}
}

// checkFields compares what Parse has read with the lines themselves, and with what ParseFields reads.
func checkFields(t *testing.T, head []byte, h *RequestHead) {
	s := string(head)
	line, block, _ := strings.Cut(s, "\r\n")
	if want := string(h.Method) + " " + string(h.Target) + " " + sentVersion(head); line != want || !strings.HasPrefix(sentVersion(head), "HTTP/1.") {
		t.Fatalf("request line %q, read as %q", line, want)
	}
	fields, err := ParseFields([]byte(block[:len(block)-2]), nil)
	if err != nil || len(fields) != len(h.Fields) {
		t.Fatalf("%q passes, but its fields do not: %v", s, err)
	}
	var again strings.Builder
	count := map[message.Kind]int{}
	for i := range fields {
		f, own := &fields[i], &h.Fields[i]
		again.Write(f.Line)
		count[f.Kind]++
		if !bytes.Equal(f.Name, own.Name) || f.Kind != own.Kind || f.Hop && !own.Hop || f.Kind != message.Trailer && !bytes.Equal(f.Line, own.Line) {
			t.Fatalf("%q: %+v, as a head %+v", s, f, own)
		}
	}
	if again.String()+"\r\n" != block {
		t.Fatalf("%q comes back as %q", block, again.String())
	}
	chunked := count[message.TransferEncoding] == 1
	host := message.Lookup(fields, message.Host)
	if count[message.Host] > 1 || count[message.Host] == 0 && h.Minor == 1 || count[message.ContentLengthField]+count[message.TransferEncoding] > 1 ||
		chunked != (h.Length < 0) || h.Length > 0 && count[message.ContentLengthField] == 0 ||
		h.Announced != (chunked || count[message.ContentLengthField] == 1) || h.Continue && h.Length == 0 ||
		host != nil && !bytes.Equal(h.Authority, host) || (h.Minor == 0) != (sentVersion(head) == "HTTP/1.0") || h.Version != versions[h.Minor] {
		t.Fatalf("%q read as %+v", s, h)
	}
}
