package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxResponse bounds the bytes read of a response.
	maxResponse = 8 << 20
	// apiTimeout bounds an exchange whose response is expected at once.
	apiTimeout = 10 * time.Second
)

// api is a client of an HTTP service, on this machine or in the network, that responds in JSON. It uses no proxy from
// the environment, follows no redirects, and keeps one connection or two until close.
type api struct {
	what   string // for errors: "Consul at 127.0.0.1:8500"
	client *http.Client
	base   string // "http://host"
	header http.Header
}

// newAPI returns a client for an address, "host:port" or "unix:/path".
func newAPI(what, address string) *api {
	transport := &http.Transport{
		MaxIdleConns: 2, IdleConnTimeout: time.Minute, DisableCompression: true,
		MaxResponseHeaderBytes: 64 << 10,
	}
	base := "http://" + address
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}
	} else {
		transport.DialContext = (&net.Dialer{Timeout: apiTimeout}).DialContext
	}
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &api{what: what, base: base, client: &http.Client{Transport: transport, CheckRedirect: refuse}, header: http.Header{}}
}

// close closes the idle connections.
func (a *api) close() { a.client.CloseIdleConnections() }

// open sends a GET request and returns a response with status 200. The caller closes its body.
func (a *api) open(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("cannot ask %s: %w", a.what, err)
	}
	for name, values := range a.header {
		request.Header[name] = values
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot ask %s: %s", a.what, cause(err))
	}
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		_ = response.Body.Close()
		return nil, &statusError{a.what, response.StatusCode, strings.TrimSpace(string(said))}
	}
	return response, nil
}

// read sends a GET request and decodes the response, which must be a single JSON value, into to.
func (a *api) read(ctx context.Context, path string, query url.Values, to any) (http.Header, error) {
	response, err := a.open(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the response of %s: %s", a.what, cause(err))
	}
	if len(text) > maxResponse {
		return nil, fmt.Errorf("the response of %s is larger than %d MiB", a.what, maxResponse>>20)
	}
	if err := json.Unmarshal(text, to); err != nil {
		return nil, fmt.Errorf("the response of %s does not match its documented API: %w", a.what, err)
	}
	return response.Header, nil
}

// statusError is a response with another status than 200.
type statusError struct {
	what   string
	status int
	said   string // the beginning of the body
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s returned %d: %q", e.what, e.status, e.said)
}

// cause describes an error without the URL and the local port, which differ each time.
func cause(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no response in time"
	case errors.As(err, &op):
		return op.Err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err.Error()
	}
	return err.Error()
}
