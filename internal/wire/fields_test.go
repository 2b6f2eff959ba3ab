package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestKindOf(t *testing.T) {
	names := map[string]Kind{
		"Host": Host, "Content-Length": ContentLengthField, "Transfer-Encoding": TransferEncoding, "Connection": Connection,
		"Keep-Alive": KeepAlive, "Proxy-Connection": ProxyConnection, "Proxy-Authenticate": ProxyAuthenticate,
		"Proxy-Authorization": ProxyAuthorization, "TE": TE, "Trailer": Trailer, "Upgrade": Upgrade, "HTTP2-Settings": HTTP2Settings,
		"Expect": Expect, "CDN-Loop": CDNLoop, "Proxy": Proxy, "Forwarded": Forwarded, "X-Forwarded-For": XForwardedFor, "X-Forwarded-Proto": XForwardedProto,
		"X-Forwarded-Host": XForwardedHost, "X-Real-IP": XRealIP, "X-Request-Id": XRequestID, "Accept": Accept,
		"Accept-Encoding": AcceptEncoding, "Date": Date, "Idempotency-Key": IdempotencyKey, "If-Match": IfMatch,
		"If-Modified-Since": IfModifiedSince, "If-None-Match": IfNoneMatch, "If-Range": IfRange,
		"If-Unmodified-Since": IfUnmodifiedSince, "Range": Range, "Referer": Referer, "User-Agent": UserAgent,
		"X_Forwarded_For": Twin, "X-Forwarded_For": Twin, "X_Forwarded-Proto": Twin,
		"X_Forwarded_Host": Twin, "X_Real_IP": Twin, "X-Real_IP": Twin,
		"Transfer_Encoding": Twin, "Content_Length": Twin, "ContentLength": Other, "Content_Type": Other,
		"X-Request_ID": Twin, "X_Request_Id": Twin, "X_Forwarded_Port": Twin, "X-Forwarded_User": Twin, "X_Forwarded-Forr": Twin, "X_Forwarded": Twin,
		"X-Forwarded": XForwarded, "X-Forwarded-": XForwarded, "X-Forwarded-Port": XForwarded, "X-Forwarded-Forr": XForwarded,
		"X-Forwarded-Prefix": XForwarded, "X-Forwarded-Client-Cert": XForwarded, "X-Forwarded-A_B": XForwarded,
		"X-Forwarder": Other, "X-Forwardedfor": Other, "X-Request-Ids": Other, "X-Requesting": Other, "X-Forward-For": Other, "X.Forwarded.For": Other, "": Other, "A": Other, "Hos": Other, "Hosts": Other,
		"Xhost": Other, "Cookie": Other, "Set-Cookie": Other, "X--Real-IP": Other, "Content-Lengtg": Other,
	}
	seen := map[Kind]bool{}
	for name, want := range names {
		seen[want] = true
		for _, spelt := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := KindOf([]byte(spelt)); got != want {
				t.Errorf("%q: %d, want %d", spelt, got, want)
			}
		}
		// 0x20 apart is not the same letter in another case everywhere: '-' and CR, '_' and DEL.
		for i := range name {
			if want == XForwarded && i >= len("X-Forwarded-") {
				break // whatever follows is one
			}
			other := []byte(name)
			if other[i] ^= 0x20; !IsToken(other[i:i+1]) && KindOf(other) != Other {
				t.Errorf("%q is taken for %q", other, name)
			}
		}
	}
	for k := Other; k <= UserAgent; k++ {
		if !seen[k] {
			t.Errorf("kind %d is not tested", k)
		}
	}
	hops := map[Kind]bool{Connection: true, KeepAlive: true, ProxyConnection: true, ProxyAuthenticate: true, ProxyAuthorization: true,
		TE: true, Upgrade: true, HTTP2Settings: true, TransferEncoding: true}
	for k := Other; k <= UserAgent; k++ {
		if k.HopByHop() != hops[k] {
			t.Errorf("kind %d: hop-by-hop %v", k, k.HopByHop())
		}
	}
}

func TestParseFields(t *testing.T) {
	fields, err := ParseFields([]byte("A: 1\r\nb:\r\nA: \t2 3 \r\n"), make([]Field, 1))
	if err != nil || len(fields) != 4 || string(fields[1].Name) != "A" || len(fields[2].Value) != 0 ||
		string(fields[3].Value) != "2 3" || string(fields[3].Line) != "A: \t2 3 \r\n" {
		t.Errorf("%q, %v", fields, err)
	}
	for block, want := range map[string]error{
		"A: b": ErrLineEnd, "A: b\n": ErrLineEnd, "\n": ErrLineEnd, "A: b\r": ErrLineEnd, "\r\n": ErrFieldName, "A: b\r\n\r\n": ErrFieldName,
		" A: b\r\n": ErrFold, "A: b\r\n\tc\r\n": ErrFold, "A b: c\r\n": ErrFieldName, ":\r\n": ErrFieldName, "A\r\n": ErrFieldName,
		"A\t: b\r\n": ErrFieldName, "A: \x7f\r\n": ErrFieldValue, "A: b\r\r\n": ErrFieldValue, "\r\r\n": ErrFieldName,
	} {
		if _, err := ParseFields([]byte(block), nil); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", block, err, want)
		}
	}
}

func TestContentLength(t *testing.T) {
	for value, want := range map[string]int64{"0": 0, "00": 0, "12": 12, "999999999999999999": 999999999999999999,
		"": -1, "+1": -1, "-1": -1, " 1": -1, "1 ": -1, "1,1": -1, "0x1": -1, "1e3": -1, "1000000000000000000": -1} {
		n, ok := ContentLength([]byte(value))
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: %d %v, want %d", value, n, ok, want)
		}
	}
}

func TestForbiddenInTrailer(t *testing.T) {
	fields, err := ParseFields([]byte("X-Sum: 1\r\nDate: 1\r\nServer-Timing: 1\r\nContent-Length: 1\r\nHost: 1\r\nTransfer-Encoding: 1\r\nSet-Cookie: 1\r\nTrailer: 1\r\nVARY: 1\r\nMax-Forwards: 1\r\nX-Forwarded-Port: 1\r\nX_Forwarded_For: 1\r\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range fields {
		if got := ForbiddenInTrailer(&fields[i]); got != (i > 2) {
			t.Errorf("%s: %v", fields[i].Name, got)
		}
	}
}

// What is accepted is made of its lines and nothing else.
func FuzzParseFields(f *testing.F) {
	for _, s := range []string{"", "A: b\r\n", "A: b\r\n c\r\n", "A:\r\nB: \xff\t\r\n", "A : b\r\n", "A: b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		fields, err := ParseFields(block, nil)
		if err != nil {
			return
		}
		var whole []byte
		for i := range fields {
			field := &fields[i]
			whole = append(whole, field.Line...)
			name, value, _ := strings.Cut(strings.TrimSuffix(string(field.Line), "\r\n"), ":")
			if name != string(field.Name) || strings.Trim(value, " \t") != string(field.Value) || name == "" ||
				strings.ContainsAny(name, " \t\r\n\x00:") || strings.ContainsAny(value, "\r\n\x00") {
				t.Fatalf("%q was read as %q: %q", field.Line, field.Name, field.Value)
			}
			if field.Kind != KindOf([]byte(strings.ToUpper(name))) {
				t.Fatalf("the kind of %q depends on its case", name)
			}
		}
		if !bytes.Equal(whole, block) {
			t.Fatalf("%q was read as %q", block, whole)
		}
	})
}

func TestList(t *testing.T) {
	for block, want := range map[string]string{
		"": "", "X: a\r\n": "", "Accept: a, b\r\n": "a, b", "Accept: a\r\nX: y\r\naccept:  b ;q=1 \r\nAccept: c\r\n": "a,b ;q=1,c",
	} {
		fields, err := ParseFields([]byte(block), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := List(fields, Accept); string(got) != want {
			t.Errorf("%q: %q, want %q", block, got, want)
		}
	}
}
