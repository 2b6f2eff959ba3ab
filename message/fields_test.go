package message

import (
	"strings"
	"testing"
)

// parsed returns the fields of lines that are known to be right.
func parsed(block string) (fields []Field) {
	for line := range strings.Lines(block) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ":")
		f := Field{Line: []byte(line), Name: []byte(name), Value: TrimSpace([]byte(value))}
		f.Kind = KindOf(f.Name)
		fields = append(fields, f)
	}
	return fields
}

// TestIsFieldValue: each byte is judged independently of its position.
func TestIsFieldValue(t *testing.T) {
	for c := range 256 {
		want := c >= 0x20 && c != 0x7f || c == '\t'
		for size := 1; size <= 20; size++ {
			for at := range size {
				for _, filler := range []string{" ", "\t", "a", "\xff", "\x80"} {
					b := []byte(strings.Repeat(filler, size))
					if b[at] = byte(c); IsFieldValue(b) != want {
						t.Fatalf("%q: %v", b, !want)
					}
				}
			}
		}
	}
	if !IsFieldValue(nil) {
		t.Error("an empty value is none")
	}
}

func TestKindOf(t *testing.T) {
	names := map[string]Kind{
		"Host": Host, "Content-Length": ContentLengthField, "Transfer-Encoding": TransferEncoding, "Connection": Connection,
		"Keep-Alive": KeepAlive, "Proxy-Connection": ProxyConnection, "Proxy-Authenticate": ProxyAuthenticate,
		"Proxy-Authorization": ProxyAuthorization, "TE": TE, "Trailer": Trailer, "Upgrade": Upgrade, "HTTP2-Settings": HTTP2Settings,
		"Expect": Expect, "CDN-Loop": CDNLoop, "Proxy": Proxy, "Forwarded": Forwarded, "X-Forwarded-For": XForwardedFor, "X-Forwarded-Proto": XForwardedProto,
		"X-Forwarded-Host": XForwardedHost, "X-Real-IP": XRealIP, "Client-Cert": ClientCert, "Client-Cert-Chain": ClientCert, "Client_Cert": Twin, "Client-Cert_Chain": Twin, "Client-Certs": Other, "Client_Certificate": Other, "X-Request-Id": XRequestID, "Accept": Accept,
		"Accept-Encoding": AcceptEncoding, "Date": Date, "Idempotency-Key": IdempotencyKey, "If-Match": IfMatch,
		"If-Modified-Since": IfModifiedSince, "If-None-Match": IfNoneMatch, "If-Range": IfRange,
		"If-Unmodified-Since": IfUnmodifiedSince, "Range": Range, "Referer": Referer, "User-Agent": UserAgent,
		"X_Forwarded_For": Twin, "X-Forwarded_For": Twin, "X_Forwarded-Proto": Twin,
		"X_Forwarded_Host": Twin, "X_Real_IP": Twin, "X-Real_IP": Twin, "client.cert": Twin, "Client.Cert_Chain": Twin, "X.Forwarded.For": Twin, "X-Forwarded.User": Twin, "Client..Cert": Other,
		"Transfer_Encoding": Twin, "Content_Length": Twin, "ContentLength": Other, "Content_Type": Other,
		"X-Request_ID": Twin, "X_Request_Id": Twin, "X_Forwarded_Port": Twin, "X-Forwarded_User": Twin, "X_Forwarded-Forr": Twin, "X_Forwarded": Twin,
		"X-Forwarded": XForwarded, "X-Forwarded-": XForwarded, "X-Forwarded-Port": XForwarded, "X-Forwarded-Forr": XForwarded,
		"X-Forwarded-Prefix": XForwarded, "X-Forwarded-Client-Cert": XForwarded, "X-Forwarded-A_B": XForwarded,
		"X-Forwarder": Other, "X-Forwardedfor": Other, "X-Request-Ids": Other, "X-Requesting": Other, "X-Forward-For": Other, "": Other, "A": Other, "Hos": Other, "Hosts": Other,
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

func TestForbiddenInTrailer(t *testing.T) {
	fields := parsed("X-Sum: 1\r\nDate: 1\r\nServer-Timing: 1\r\nContent-Length: 1\r\nHost: 1\r\nTransfer-Encoding: 1\r\nSet-Cookie: 1\r\nTrailer: 1\r\nVARY: 1\r\nMax-Forwards: 1\r\nX-Forwarded-Port: 1\r\nX_Forwarded_For: 1\r\n")
	for i := range fields {
		if got := ForbiddenInTrailer(&fields[i]); got != (i > 2) {
			t.Errorf("%s: %v", fields[i].Name, got)
		}
	}
}

func TestList(t *testing.T) {
	for block, want := range map[string]string{
		"": "", "X: a\r\n": "", "Accept: a, b\r\n": "a, b", "Accept: a\r\nX: y\r\naccept:  b ;q=1 \r\nAccept: c\r\n": "a,b ;q=1,c",
	} {
		if got := List(parsed(block), Accept); string(got) != want {
			t.Errorf("%q: %q, want %q", block, got, want)
		}
	}
}
