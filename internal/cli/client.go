package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"lb/admin"
	"lb/pool"
)

const (
	dialTimeout = 5 * time.Second
	patience    = admin.ReloadTimeout // for a response; a reload takes longest
)

// Client is a client of a running lb, for lb's own commands; its errors are for people.
type Client struct {
	Addr  string // "127.0.0.1:9900", or "unix:PATH"; see Reachable
	Token string // "" if none is needed

	// For errors: the origins of the address and of the token, and what to do if the address is wrong. Without a
	// token TokenFrom says why there is none. Each may be empty.
	From, TokenFrom, Remedy string
}

// Reachable returns the address at which this machine reaches a listener: loopback for one on all addresses.
func Reachable(address string) string {
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.Unmap().IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// What the API takes and shows.
type (
	Backend     = pool.BackendStatus
	Question    = admin.Question
	Explanation = admin.Explanation
	Purge       = admin.Purge
)

// ResponseError is a response of the admin API that is no success.
type ResponseError struct {
	Status int // the HTTP status
	admin.Failure
	token string // of a 401: what is wrong with the token
}

// Error returns the server's message, followed by the diagnostics unless the message contains them.
func (e *ResponseError) Error() string {
	diagnostics := strings.TrimRight(e.Diagnostics, "\n")
	switch {
	case e.token != "":
		return e.token
	case !strings.Contains(e.Failure.Error, diagnostics):
		return e.Failure.Error + "\n" + diagnostics
	}
	return e.Failure.Error
}

// UnreachableError means that nothing responded at the address.
type UnreachableError struct {
	Addr  string // with its origin
	Cause error
	next  string // what to do
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach lb's admin listener at %s: %v; %s", e.Addr, e.Cause, e.next)
}

func (e *UnreachableError) Unwrap() error { return e.Cause }

func (c *Client) unreachable(cause error) error {
	next := "is lb running? if it is, " + c.remedy()
	if errors.Is(cause, fs.ErrPermission) {
		next = "use sudo"
	}
	var failed *net.OpError
	if errors.As(cause, &failed) && failed.Op == "dial" {
		cause = failed.Err // without the address, which the message has already
	}
	return &UnreachableError{c.place(), cause, next}
}

// place returns the address and its origin.
func (c *Client) place() string {
	if c.From == "" {
		return c.Addr
	}
	return fmt.Sprintf("%s (%s)", c.Addr, c.From)
}

func (c *Client) remedy() string { return cmp.Or(c.Remedy, "use -admin ADDR") }

// unauthorized returns what is wrong with the token.
func (c *Client) unauthorized() string {
	const remedy = "use -token TOKEN, or the variable LB_ADMIN_TOKEN"
	switch {
	case c.Token != "" && c.TokenFrom != "":
		return fmt.Sprintf("lb's admin listener at %s rejects the token of %s; %s", c.place(), c.TokenFrom, remedy)
	case c.Token != "":
		return fmt.Sprintf("lb's admin listener at %s rejects the token; %s", c.place(), remedy)
	case c.TokenFrom != "":
		return fmt.Sprintf("lb's admin listener at %s requires its token, and %s; %s", c.place(), c.TokenFrom, remedy)
	}
	return fmt.Sprintf("lb's admin listener at %s requires its token; %s", c.place(), remedy)
}

// Status returns the state of lb as a whole.
func (c *Client) Status(ctx context.Context) (admin.Status, error) {
	var s admin.Status
	err := c.do(ctx, http.MethodGet, "/api/v1/status", nil, &s)
	return s, err
}

// Pools returns all pools in the order of the configuration.
func (c *Client) Pools(ctx context.Context) ([]pool.PoolStatus, error) {
	var pools []pool.PoolStatus
	err := c.do(ctx, http.MethodGet, "/api/v1/pools", nil, &pools)
	return pools, err
}

// Reload makes lb read its configuration again. The diagnostics of a success are warnings; a refused reload is a
// *ResponseError that has them, too.
func (c *Client) Reload(ctx context.Context) (diagnostics string, err error) {
	var done admin.Reloaded
	err = c.do(ctx, http.MethodPost, "/api/v1/reload", nil, &done)
	var refused *ResponseError
	if errors.As(err, &refused) {
		return refused.Diagnostics, err
	}
	return done.Diagnostics, err
}

// Purge removes stored responses and returns how many.
func (c *Client) Purge(ctx context.Context, p Purge) (removed int, err error) {
	var done admin.Purged
	err = c.do(ctx, http.MethodPost, "/api/v1/purge", p, &done)
	return done.Removed, err
}

// Pool returns one pool.
func (c *Client) Pool(ctx context.Context, name string) (pool.PoolStatus, error) {
	var p pool.PoolStatus
	err := c.do(ctx, http.MethodGet, "/api/v1/pools/"+url.PathEscape(name), nil, &p)
	return p, err
}

// Backend returns one backend.
func (c *Client) Backend(ctx context.Context, pool, backend string) (b Backend, err error) {
	err = c.do(ctx, http.MethodGet, backendPath(pool, backend), nil, &b)
	return b, err
}

// SetAdmin sets the admin state of a backend, ready, drain or maint, and returns the changed backend.
func (c *Client) SetAdmin(ctx context.Context, pool, backend, state string) (Backend, error) {
	return c.change(ctx, pool, backend, admin.BackendChange{Admin: &state})
}

// SetWeight sets the weight of a backend, and returns the changed backend; 0 restores the configured weight.
func (c *Client) SetWeight(ctx context.Context, pool, backend string, weight int) (Backend, error) {
	return c.change(ctx, pool, backend, admin.BackendChange{Weight: &weight})
}

func (c *Client) change(ctx context.Context, pool, backend string, change admin.BackendChange) (b Backend, err error) {
	err = c.do(ctx, http.MethodPut, backendPath(pool, backend), change, &b)
	return b, err
}

func backendPath(pool, backend string) string {
	return "/api/v1/pools/" + url.PathEscape(pool) + "/backends/" + url.PathEscape(backend)
}

// idlePoll is how often AwaitIdle polls.
const idlePoll = 200 * time.Millisecond

// AwaitIdle returns when the backend has no request in flight. Otherwise it returns the backend as last seen and an
// error: ctx has ended, or lb does not respond properly.
func (c *Client) AwaitIdle(ctx context.Context, pool, backend string) (Backend, error) {
	tick := time.NewTicker(idlePoll)
	defer tick.Stop()
	var last Backend
	for {
		b, err := c.Backend(ctx, pool, backend)
		if ctx.Err() != nil {
			return last, context.Cause(ctx)
		}
		if err != nil || b.InFlight == 0 {
			return b, err
		}
		last = b
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// Explain returns what would happen to a request. For a question that makes no sense it returns a *ResponseError of
// status 400.
func (c *Client) Explain(ctx context.Context, q admin.Question) (*admin.Explanation, error) {
	query := url.Values{"url": {q.URL}, "method": {q.Method}, "header": q.Header, "client": {q.Client}}
	var e admin.Explanation
	err := c.do(ctx, http.MethodGet, "/api/v1/explain?"+query.Encode(), nil, &e)
	return &e, err
}

// do sends one request. With a nil into it discards the response body.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	base, transport := c.transport()
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, patience)
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
		return c.unreachable(err)
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return c.unreachable(err)
	}
	defer response.Body.Close()
	return c.read(response, into)
}

func (c *Client) read(response *http.Response, into any) error {
	const longest = 64 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, longest))
	if err != nil {
		return c.unreachable(err)
	}
	if response.StatusCode >= 300 {
		failure := &ResponseError{Status: response.StatusCode}
		if json.Unmarshal(text, &failure.Failure) != nil || failure.Failure.Error == "" {
			return fmt.Errorf("what responds at %s is not lb's admin listener: it said %s; %s", c.place(), response.Status, c.remedy())
		}
		if response.StatusCode == http.StatusUnauthorized {
			failure.token = c.unauthorized()
		}
		return failure
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("what responds at %s is not lb's admin listener: %w; %s", c.place(), err, c.remedy())
	}
	return nil
}

// transport dials the address itself, without a proxy of the environment.
func (c *Client) transport() (base string, t *http.Transport) {
	network, address := "tcp", Reachable(c.Addr)
	base = "http://" + address
	if path, isUnix := strings.CutPrefix(c.Addr, "unix:"); isUnix {
		network, address, base = "unix", path, "http://localhost"
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	return base, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}
}
