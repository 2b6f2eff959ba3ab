package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// FuzzResponseHead: all parsers agree where an accepted head ends, for any request method, and net/http reads the same
// fields.
func FuzzResponseHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n", "HTTP/1.0 404\r\nConnection: keep-alive, close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n", "HTTP/1.1 304 x\r\nContent-Length: 9\r\nPragma: no-cache\r\n\r\n",
		"HTTP/1.1 101 Switching\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", "HTTP/1.1 200 \r\nA: b\r\n c\r\n\r\n", "HTTP/1.1 200 OK\r\nA:\t\xff \r\na: c\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		if HeadEnd(head, 0) != len(head) {
			return // transport passes nothing else
		}
		var h ResponseHead
		if h.Parse(head) != nil {
			return
		}
		checkFraming(t, head, &h)
		ours := map[string][]string{}
		for i := range h.Fields {
			name := textproto.CanonicalMIMEHeaderKey(string(h.Fields[i].Name))
			ours[name] = append(ours[name], string(h.Fields[i].Value))
		}
		r, err := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(head), len(head)+16), nil)
		if err != nil {
			if h.Chunked && ours["Trailer"] != nil && strings.Contains(err.Error(), "bad trailer key") {
				return // the field is not forwarded
			}
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		if r.StatusCode != h.Status || r.ProtoMinor != h.Minor || (len(r.TransferEncoding) == 1) != h.Chunked {
			t.Fatalf("%q: net/http reads %+v, we %+v", head, r, h)
		}
		if bodyless := h.Status < 200 || h.Status == 204 || h.Status == 304; !bodyless && r.ContentLength != h.ContentLength {
			t.Fatalf("%q: length %d, net/http reads %d", head, h.ContentLength, r.ContentLength)
		}
		if lengthTells := h.Chunked || h.ContentLength >= 0; lengthTells && r.Close != h.Close {
			t.Fatalf("%q: Close %v, net/http reads %v", head, h.Close, r.Close)
		}
		theirs := map[string][]string(r.Header)
		for _, name := range []string{"Transfer-Encoding", "Trailer"} { // net/http removes them
			delete(ours, name)
			delete(theirs, name)
		}
		if ours["Cache-Control"] == nil && len(ours["Pragma"]) > 0 && ours["Pragma"][0] == "no-cache" {
			delete(theirs, "Cache-Control") // and adds this
		}
		if len(ours) != len(theirs) {
			t.Fatalf("%q: fields %q, net/http reads %q", head, ours, theirs)
		}
		for name, values := range ours {
			if !slices.Equal(values, theirs[name]) {
				t.Fatalf("%q: %s is %q, net/http reads %q", head, name, values, theirs[name])
			}
		}
	})
}

// checkFraming reads the head, followed by a body and another response.
func checkFraming(t *testing.T, head []byte, h *ResponseHead) {
	if h.ContentLength > 1<<16 || h.Status < 200 {
		return // too long to generate; an interim response
	}
	for _, method := range []string{"GET", "HEAD"} {
		body, framed := "", ""
		switch {
		case method == "HEAD" || h.Status == 204 || h.Status == 304:
		case h.Chunked:
			body, framed = "abc", "1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"
		case h.ContentLength >= 0:
			body = strings.Repeat("x", int(h.ContentLength))
			framed = body
		default:
			body = nextResponse // to the connection's end
		}
		want := []lbtest.Reply{{Status: h.Status, Body: body}, {Status: 202, Body: "next"}}
		if body == nextResponse {
			want = want[:1]
		}
		for _, reader := range lbtest.ReplyReaders() {
			got, err := reader.Read([]byte(string(head)+framed+nextResponse), []string{method, "GET"})
			if err != nil && len(got) == 0 && lbtest.Stricter(err) {
				continue
			}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s %q: %+v; %s reads %+v, %v", method, head, want, reader.Name, got, err)
			}
		}
	}
}
