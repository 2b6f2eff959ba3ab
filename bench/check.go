package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
)

// newHTTPClient is for everything that is not measured per request. It speaks HTTP/1.1 and accepts any certificate: ours is
// made by the run itself.
func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
	}}
}

// httpClient speaks the scenario's protocol.
func (s scenario) httpClient() *http.Client {
	client := newHTTPClient()
	switch s.protocol {
	case protocolHTTP2:
		client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	case protocolHTTP3:
		client.Transport = newHTTP3Transport()
	}
	return client
}

// checked is check for one balancer.
func (s scenario) checked(r *running) func(context.Context) error {
	return func(ctx context.Context) error { return s.check(ctx, r) }
}

// check makes sure that the response to be measured is the right one.
func (s scenario) check(ctx context.Context, r *running) error {
	if s.grpc {
		return checkCall(ctx, s.httpClient(), s.url(r))
	}
	_, err := s.fetch(ctx, r)
	return err
}

// fetch makes the request once and returns the size of the response's body as it was sent. A size of 0 in the scenario is not checked.
func (s scenario) fetch(ctx context.Context, r *running) (size int64, err error) {
	client, url := s.httpClient(), s.url(r)
	defer closeClient(client)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	if s.accept != "" {
		request.Header.Set("Accept-Encoding", s.accept)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("cannot get %s: %w", url, err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return 0, fmt.Errorf("cannot read the response to %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK || s.size > 0 && n != int64(s.size) {
		return 0, fmt.Errorf("%s responded with %s and %d bytes, want 200 with %d", url, response.Status, n, s.size)
	}
	if coding := response.Header.Get("Content-Encoding"); coding != s.accept {
		return 0, fmt.Errorf("%s responded with the content coding %q, want %q", url, coding, s.accept)
	}
	if want := max(1, int(s.protocol)); response.ProtoMajor != want {
		return 0, fmt.Errorf("%s responded by %s, want version %d", url, response.Proto, want)
	}
	return n, nil
}

// closeClient closes the client's connections, those of HTTP/3 too, which are not idle in the sense of CloseIdleConnections.
func closeClient(client *http.Client) {
	if closer, ok := client.Transport.(io.Closer); ok {
		_ = closer.Close() // It was used for a check alone.
		return
	}
	client.CloseIdleConnections()
}
