package http2

import (
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"lb/internal/lbtest"
)

// well is a valid request, without its pseudo-header fields.
func well(without ...string) (fields []string) {
	all := []string{":method", "GET", ":scheme", "http", ":path", "/head", ":authority", "a.test"}
	for i := 0; i < len(all); i += 2 {
		if !strings.Contains(" "+strings.Join(without, " ")+" ", " "+all[i]+" ") {
			fields = append(fields, all[i], all[i+1])
		}
	}
	return fields
}

// TestHeads: the HTTP/1 head of a request.
func TestHeads(t *testing.T) {
	c := startServer(t, Limits{}).dial()
	for i, r := range []struct {
		fields []string
		want   string
	}{
		{well(), "GET /head a.test 0\nhost: a.test\r\n"},
		{well(":authority"), ""},
		{append(well(":authority"), "host", "b.test:81"), "GET /head b.test:81 0\nhost: b.test:81\r\n"},
		{append(well(), "host", "A.test"), "GET /head A.test 0\nhost: A.test\r\n"},
		{append(well(), "cookie", "a=1", "x", "y", "cookie", "b=2", "cookie", "c=3"), "GET /head a.test 0\nx: y\r\nhost: a.test\r\ncookie: a=1; b=2; c=3\r\n"},
		{append(well(), "te", "trailers"), "GET /head a.test 0\nhost: a.test\r\n"},
		{append(well(), "x-empty", "", "x-obs", "\xff\t\x80"), "GET /head a.test 0\nx-empty: \r\nx-obs: \xff\t\x80\r\nhost: a.test\r\n"},
		{append(well(), "content-length", "0"), "GET /head a.test 0\ncontent-length: 0\r\nhost: a.test\r\n"},
		{[]string{":authority", "a.test", ":path", "*", ":scheme", "https", ":method", "OPTIONS"}, ""},
	} {
		if r.want == "" {
			continue
		}
		id := uint32(2*i + 1)
		c.Headers(id, true, r.fields...)
		want(t, c, id, 200, r.want)
	}
}

// TestMalformed: each request that HTTP/2 forbids, or that an HTTP/1 backend could read in another way, is a stream error and never
// comes to a handler. The names of the attacks are those of "HTTP/2: The Sequel is Always Worse" (James Kettle, 2021), where they have one.
func TestMalformed(t *testing.T) {
	tests := map[string][]string{
		// Fields that HTTP/1 frames messages by.
		"H2.TE":                         append(well(), "transfer-encoding", "chunked"),
		"H2.TE with a tab":              append(well(), "transfer-encoding", "\tchunked"),
		"H2.TE hidden in a value":       append(well(), "foo", "b\r\ntransfer-encoding: chunked"),
		"H2.TE hidden in a value by LF": append(well(), "foo", "b\ntransfer-encoding: chunked"),
		"H2.TE hidden in a name":        append(well(), "foo: b\r\ntransfer-encoding", "chunked"),
		"H2.X request split by a value": append(well(), "foo", "b\r\n\r\nGET / HTTP/1.1\r\nhost: c"),
		"NUL in a value":                append(well(), "foo", "a\x00b"),
		"CR in a value":                 append(well(), "foo", "a\rb"),
		"DEL in a value":                append(well(), "foo", "a\x7fb"),
		"white space before a value":    append(well(), "foo", " a"),
		"white space behind a value":    append(well(), "foo", "a\t"),
		"a colon in a name":             append(well(), "foo:bar", "a"),
		"header name splitting":         append(well(), "transfer-encoding : chunked\r\nfoo", "b"),
		"white space in a name":         append(well(), "foo bar", "a"),
		"white space behind a name":     append(well(), "content-length ", "1"),
		"an empty name":                 append(well(), "", "a"),
		"an upper-case name":            append(well(), "Foo", "a"),
		"a name out of ASCII":           append(well(), "f\xf6\xf6", "a"),
		"connection":                    append(well(), "connection", "close"),
		"keep-alive":                    append(well(), "keep-alive", "1"),
		"proxy-connection":              append(well(), "proxy-connection", "keep-alive"),
		"upgrade":                       append(well(), "upgrade", "h2c"),
		"http2-settings":                append(well(), "http2-settings", "AAA"),
		"te":                            append(well(), "te", "gzip"),
		"content-length of no body":     append(well(), "content-length", "1"),
		"content-length twice":          append(well(), "content-length", "0", "content-length", "0"),
		"content-length as a list":      append(well(), "content-length", "0, 0"),
		"content-length with a sign":    append(well(), "content-length", "+0"),
		"content-length without end":    append(well(), "content-length", strings.Repeat("0", 19)),
		"content-length in hexadecimal": append(well(), "content-length", "0x0"),
		"an empty content-length":       append(well(), "content-length", ""),
		// Pseudo-header fields.
		"method missing":                     well(":method"),
		"scheme missing":                     well(":scheme"),
		"path missing":                       well(":path"),
		"authority missing":                  well(":authority"),
		"method twice":                       append([]string{":method", "POST"}, well()...),
		"path twice":                         append([]string{":path", "/other"}, well()...),
		"path twice, the same":               append([]string{":path", "/head"}, well()...),
		"authority twice":                    append([]string{":authority", "a.test"}, well()...),
		"pseudo-header behind a field":       append(append([]string{"foo", "bar"}, well(":path")...), ":path", "/"),
		"pseudo-header behind a cookie":      append(append(well(":path"), "cookie", "a"), ":path", "/"),
		"status":                             append(well(), ":status", "200"),
		"an unknown pseudo-header":           append([]string{":foo", "bar"}, well()...),
		"protocol without CONNECT":           append([]string{":protocol", "websocket"}, well()...),
		"CONNECT with a path":                append([]string{":method", "CONNECT"}, well(":method")...),
		"request line injection, method":     append([]string{":method", "GET / HTTP/1.1\r\nhost: b\r\n\r\nGET"}, well(":method")...),
		"request line injection, space":      append([]string{":method", "GET /admin HTTP/1.1"}, well(":method")...),
		"an empty method":                    append([]string{":method", ""}, well(":method")...),
		"path injection":                     append([]string{":path", "/ HTTP/1.1\r\nhost: b\r\n\r\nGET /x"}, well(":path")...),
		"space in a path":                    append([]string{":path", "/a HTTP/1.1"}, well(":path")...),
		"tab in a path":                      append([]string{":path", "/a\tb"}, well(":path")...),
		"path out of ASCII":                  append([]string{":path", "/\xe4"}, well(":path")...),
		"an empty path":                      append([]string{":path", ""}, well(":path")...),
		"a fragment in a path":               append([]string{":path", "/a#b"}, well(":path")...),
		"a path without a slash":             append([]string{":path", "a"}, well(":path")...),
		"a path that is a host":              append([]string{":path", "@evil.test/"}, well(":path")...),
		"an absolute path":                   append([]string{":path", "http://b.test/"}, well(":path")...),
		"a star without OPTIONS":             append([]string{":path", "*"}, well(":path")...),
		"scheme injection":                   append([]string{":scheme", "https://evil.test/x?"}, well(":scheme")...),
		"scheme splitting":                   append([]string{":scheme", "http\r\nfoo: bar"}, well(":scheme")...),
		"another scheme":                     append([]string{":scheme", "file"}, well(":scheme")...),
		"host and authority differ":          append(well(), "host", "b.test"),
		"two hosts":                          append(well(), "host", "a.test", "host", "a.test"),
		"two hosts without authority":        append(well(":authority"), "host", "a.test", "host", "b.test"),
		"userinfo in the authority":          append([]string{":authority", "a@b.test"}, well(":authority")...),
		"an empty authority":                 append([]string{":authority", ""}, well(":authority")...),
		"a path in the authority":            append([]string{":authority", "a.test/x"}, well(":authority")...),
		"a list in the authority":            append([]string{":authority", "a.test, b.test"}, well(":authority")...),
		"an authority that is split":         append([]string{":authority", "a.test\r\nfoo: bar"}, well(":authority")...),
		"a port in the authority over 16bit": append([]string{":authority", "a.test:99999"}, well(":authority")...),
		"a malformed host":                   append(well(":authority"), "host", "a/b"),
	}
	s := startServer(t, Limits{})
	for name, fields := range tests {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.Headers(1, true, fields...)
			wantReset(t, c, 1, codeProtocol)
			c.Headers(3, true, well()...) // the connection continues, with the same tables
			want(t, c, 3, 200, "GET /head a.test 0\nhost: a.test\r\n")
			if r := <-s.refused; r.Status != 400 || r.Label != LabelBadRequest {
				t.Errorf("%+v", r)
			}
		})
	}
	if n := s.served.Load(); n != int64(len(tests)) {
		t.Errorf("%d exchanges, want %d", n, len(tests))
	}
}

// TestLengths: a body whose length differs from the announced one is not passed on as complete.
func TestLengths(t *testing.T) {
	s := startServer(t, Limits{})
	for name, send := range map[string]func(*lbtest.HTTP2){
		"H2.CL: longer than said": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo", "content-length", "3")
			c.WriteData(1, true, []byte("abcGET /admin HTTP/1.1\r\nhost: a\r\n\r\n"))
		},
		"longer in a later frame": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo", "content-length", "3")
			c.WriteData(1, false, []byte("abc"))
			c.WriteData(1, true, []byte("d"))
		},
		"shorter": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo", "content-length", "3")
			c.WriteData(1, true, []byte("ab"))
		},
		"nothing of it": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo", "content-length", "3")
			c.WriteData(1, true, nil)
		},
		"shorter before trailers": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo", "content-length", "3")
			c.WriteData(1, false, []byte("ab"))
			c.Headers(1, true, "x-sum", "1")
		},
		"trailers without an end": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo")
			c.Headers(1, false, "x-sum", "1")
		},
		"a pseudo-header field in trailers": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo")
			c.Headers(1, true, ":path", "/admin")
		},
		"a line end in trailers": func(c *lbtest.HTTP2) {
			c.Post(1, "/echo")
			c.Headers(1, true, "x-sum", "1\r\n\r\nGET /admin HTTP/1.1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			send(c)
			wantReset(t, c, 1, codeProtocol)
			c.Get(3, "/")
			want(t, c, 3, 200, "GET /")
		})
	}
}

// TestRefusals: an invalid request that is no attack gets a response.
func TestRefusals(t *testing.T) {
	s := startServer(t, Limits{HeaderSize: 1000, HeaderFields: 10})
	for name, r := range map[string]struct {
		status int
		fields []string
	}{
		"CONNECT":             {405, []string{":method", "CONNECT", ":authority", "a.test:80"}},
		"TRACE":               {405, append([]string{":method", "TRACE"}, well(":method")...)},
		"another protocol":    {501, append([]string{":method", "CONNECT", ":protocol", "connect-udp"}, well(":method")...)},
		"another expectation": {417, append(well(), "expect", "miracles")},
		"too large":           {431, append(well(), "foo", strings.Repeat("a", 1000))},
		"too large together":  {431, append(well(), "foo", strings.Repeat("a", 500), "bar", strings.Repeat("b", 500))},
		"too many fields":     {431, append(well(), strings.Split(strings.Repeat("a 1 ", 11)+"b 2", " ")...)},
		"a large cookie":      {431, append(well(), strings.Split(strings.TrimSpace(strings.Repeat("cookie a=12345678901234567890 ", 40)), " ")...)},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.Headers(1, true, r.fields...)
			got := c.Await(1)
			if got.Status != r.status || !got.Ended {
				t.Errorf("%+v", got)
			}
			c.Headers(3, true, well()...)
			want(t, c, 3, 200, "GET /head a.test 0\nhost: a.test\r\n")
			<-s.refused
		})
	}
	c := s.dial()
	c.Headers(1, true, append(well(), strings.Split(strings.TrimSpace(strings.Repeat("cookie a=1 ", 20)), " ")...)...)
	if got := c.Await(1); got.Status != 200 {
		t.Errorf("20 crumbs of a cookie: %+v", got)
	}
}

// TestFramingErrors: invalid frames end the connection, or the stream, as RFC 9113 requires.
func TestFramingErrors(t *testing.T) {
	s := startServer(t, Limits{})
	for name, r := range map[string]struct {
		code xhttp2.ErrCode
		send func(*lbtest.HTTP2)
	}{
		"DATA on stream 0":    {codeProtocol, func(c *lbtest.HTTP2) { c.WriteRawFrame(xhttp2.FrameData, 0, 0, []byte("x")) }},
		"DATA before HEADERS": {codeProtocol, func(c *lbtest.HTTP2) { c.WriteData(1, true, nil) }},
		"an even stream":      {codeProtocol, func(c *lbtest.HTTP2) { c.Get(2, "/") }},
		"a lower stream":      {codeProtocol, func(c *lbtest.HTTP2) { c.Get(5, "/"); c.Get(3, "/") }},
		"PUSH_PROMISE":        {codeProtocol, func(c *lbtest.HTTP2) { c.WritePushPromise(xhttp2.PushPromiseParam{StreamID: 1, PromiseID: 2}) }},
		"a large frame":       {codeFrameSize, func(c *lbtest.HTTP2) { c.WriteRawFrame(xhttp2.FrameData, 0, 1, make([]byte, frameSize+1)) }},
		"a short PING":        {codeFrameSize, func(c *lbtest.HTTP2) { c.WriteRawFrame(xhttp2.FramePing, 0, 0, make([]byte, 7)) }},
		"too much padding": {codeProtocol, func(c *lbtest.HTTP2) {
			c.Post(1, "/echo")
			c.WriteRawFrame(xhttp2.FrameData, xhttp2.FlagDataPadded, 1, []byte{5, 0, 0})
		}},
		"an undecodable block": {codeCompression, func(c *lbtest.HTTP2) {
			c.WriteRawFrame(xhttp2.FrameHeaders, 5, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}},
		"half a field":       {codeCompression, func(c *lbtest.HTTP2) { c.WriteRawFrame(xhttp2.FrameHeaders, 5, 1, []byte{0x40, 5, 'a'}) }},
		"CONTINUATION alone": {codeProtocol, func(c *lbtest.HTTP2) { c.WriteContinuation(1, true, nil) }},
		"a window too large": {codeFlowControl, func(c *lbtest.HTTP2) { c.WriteWindowUpdate(0, 1<<31-1); c.WriteWindowUpdate(0, 1<<31-1) }},
		"an initial window": {codeFlowControl, func(c *lbtest.HTTP2) {
			c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 31})
		}},
		"more than the window": {codeFlowControl, func(c *lbtest.HTTP2) {
			for id := uint32(1); id < 12; id += 2 {
				c.Post(id, "/unread")
				for range firstWindow / frameSize {
					c.WriteData(id, false, make([]byte, frameSize))
				}
			}
		}},
		"HEADERS after the end": {codeClosed, func(c *lbtest.HTTP2) { c.Get(1, "/"); c.Await(1); c.Get(1, "/") }},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.Until(func() bool { return len(c.Settled) > 0 })
			r.send(c)
			wantAway(t, c, r.code)
		})
	}
	for name, r := range map[string]struct {
		code xhttp2.ErrCode
		send func(*lbtest.HTTP2)
	}{
		"WINDOW_UPDATE by nothing":    {codeProtocol, func(c *lbtest.HTTP2) { c.Get(1, "/never"); c.WriteWindowUpdate(1, 0) }},
		"a stream's window too large": {codeFlowControl, func(c *lbtest.HTTP2) { c.Get(1, "/never"); c.WriteWindowUpdate(1, 1<<31-1) }},
		"DATA after the end":          {codeClosed, func(c *lbtest.HTTP2) { c.Get(1, "/never"); c.WriteData(1, true, nil) }},
		"more than the stream's window": {codeFlowControl, func(c *lbtest.HTTP2) {
			c.Post(1, "/unread")
			for range firstWindow/frameSize + 1 {
				c.WriteData(1, false, make([]byte, frameSize))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			r.send(c)
			wantReset(t, c, 1, r.code)
			c.Get(3, "/")
			want(t, c, 3, 200, "GET /")
		})
	}
}
