package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"lb/pool"
)

// Client asks a running lb. It is for lb's own commands; their errors are for people.
type Client struct {
	Addr  string // "127.0.0.1:9900", or "unix:PATH"
	Token string // "" if none is needed
}

// ResponseError is an answer of the admin API that is no success.
type ResponseError struct {
	Status int // the HTTP status
	Failure
}

// Error returns the server's message, and the diagnostics below it if there are any.
func (e *ResponseError) Error() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return "lb's admin listener wants its token; use -token TOKEN"
	case e.Diagnostics != "":
		return e.Failure.Error + "\n" + strings.TrimRight(e.Diagnostics, "\n")
	}
	return e.Failure.Error
}

// UnreachableError says that nobody answered at the address.
type UnreachableError struct {
	Addr  string
	Cause error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach lb's admin listener at %s: %v; is lb running? use -admin ADDR", e.Addr, e.Cause)
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

// Status returns the state of lb as a whole.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.do(ctx, http.MethodGet, "/api/v1/status", nil, &s)
	return s, err
}

// Pools returns all pools in the order of the configuration.
func (c *Client) Pools(ctx context.Context) ([]pool.PoolStatus, error) {
	var pools []pool.PoolStatus
	err := c.do(ctx, http.MethodGet, "/api/v1/pools", nil, &pools)
	return pools, err
}

// Reload has the configuration read anew. The diagnostics of one that went well are warnings; a
// refused one is a *ResponseError that has them.
func (c *Client) Reload(ctx context.Context) (diagnostics string, err error) {
	var done Reloaded
	err = c.do(ctx, http.MethodPost, "/api/v1/reload", nil, &done)
	return done.Diagnostics, err
}

// SetAdmin sets the admin state of a backend: ready, drain or maint.
func (c *Client) SetAdmin(ctx context.Context, pool, backend, state string) error {
	return c.change(ctx, pool, backend, BackendChange{Admin: &state})
}

// SetWeight sets the weight of a backend; 0 gives the configured one back.
func (c *Client) SetWeight(ctx context.Context, pool, backend string, weight int) error {
	return c.change(ctx, pool, backend, BackendChange{Weight: &weight})
}

func (c *Client) change(ctx context.Context, pool, backend string, change BackendChange) error {
	path := "/api/v1/pools/" + url.PathEscape(pool) + "/backends/" + url.PathEscape(backend)
	return c.do(ctx, http.MethodPut, path, change, nil)
}

// Explain asks what a request for the URL would meet, and decodes the answer into it.
func (c *Client) Explain(ctx context.Context, method, target string, into any) error {
	query := url.Values{"url": {target}, "method": {method}}
	return c.do(ctx, http.MethodGet, "/api/v1/explain?"+query.Encode(), nil, into)
}

// do sends one request. A nil into throws the answer away.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	base, transport := c.transport()
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("cannot encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, content)
	if err != nil {
		return &UnreachableError{c.Addr, err}
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return &UnreachableError{c.Addr, err}
	}
	defer response.Body.Close()
	return c.read(response, into)
}

func (c *Client) read(response *http.Response, into any) error {
	const longest = 64 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, longest))
	if err != nil {
		return &UnreachableError{c.Addr, err}
	}
	if response.StatusCode >= 300 {
		failure := &ResponseError{Status: response.StatusCode}
		if json.Unmarshal(text, &failure.Failure) != nil || failure.Failure.Error == "" {
			return fmt.Errorf("what answers at %s is not lb's admin listener: it said %s; use -admin ADDR", c.Addr, response.Status)
		}
		return failure
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("what answers at %s is not lb's admin listener: %w; use -admin ADDR", c.Addr, err)
	}
	return nil
}

// transport dials the address itself: no proxy of the environment stands between lb and its commands.
func (c *Client) transport() (base string, t *http.Transport) {
	network, address := "tcp", strings.TrimPrefix(c.Addr, "http://")
	address = strings.TrimSuffix(address, "/")
	base = "http://" + address
	if path, isUnix := strings.CutPrefix(c.Addr, "unix:"); isUnix {
		network, address, base = "unix", path, "http://localhost"
	}
	dialer := net.Dialer{Timeout: headTimeout}
	return base, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}
}
