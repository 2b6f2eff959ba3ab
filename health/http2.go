package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"
)

// askHTTP2 is ask for a backend that speaks HTTP/2. Each probe has a connection of its own.
func (x *exchange) askHTTP2(deadline time.Time, l *loop) verdict {
	s := l.settings
	ctx, cancel := context.WithDeadline(context.Background(), deadline) // the end of the loop ends the connection
	held := func(context.Context, string, string) (net.Conn, error) { return x.conn, nil }
	transport := &http.Transport{
		Protocols: &http.Protocols{}, DialContext: held, DialTLSContext: held,
		DisableCompression: true, MaxResponseHeaderBytes: maxHead,
	}
	transport.Protocols.SetHTTP2(true)
	transport.Protocols.SetUnencryptedHTTP2(true)
	x.cancel = func() {
		cancel()
		transport.CloseIdleConnections()
	}
	scheme := "http"
	if secure, ok := x.conn.(*tls.Conn); ok {
		if secure.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
			return verdict{failure: "the TLS handshake did not agree on HTTP/2, which the pool's protocol requires"}
		}
		scheme = "https"
	}
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(l.request[0])))
	if err != nil {
		return verdict{failure: fmt.Sprintf("the request is malformed: %v", err)}
	}
	request.URL.Scheme, request.URL.Host = scheme, request.Host
	request.RequestURI, request.Close = "", false
	request.Header.Del("Connection")
	request = request.WithContext(ctx)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return failed(deadline, err, s)
	}
	x.response = response
	v := verdict{status: response.StatusCode}
	switch {
	case !s.passes(v.status):
		v.failure = fmt.Sprintf("status %d, want %s", v.status, s.statusText)
	case s.Body != "":
		if found, err := x.contains(s.Body); !found {
			v.failure = lacks(deadline, err, s)
		}
	}
	return v
}
