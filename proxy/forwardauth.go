package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"lb/filter"
	"lb/message"
	"lb/pool"
	"lb/route"
	"lb/transport"
)

const (
	maxAuthTries = 3         // backends that are asked for one request
	maxAuthBody  = 256 << 10 // bytes of a response that is passed on to the client
	maxAuthHead  = 32 << 10
)

// ForwardAuth asks a service whether a request may pass, with its header fields. A response with status 2xx lets it pass, and its fields
// named by Copy go to the backend; any other response goes to the client.
type ForwardAuth struct {
	Pool    *pool.Pool
	Target  *url.URL // of the request to the service: a path, perhaps with a query
	Copy    []string // names of fields
	Timeout time.Duration
	Client  *AuthClient
	// Settings distinguish connections of different settings to the same address.
	Settings string
}

// AuthClient keeps the connections to services. It is for goroutines, not for loops. Close closes the idle ones.
type AuthClient struct{ transport *http.Transport }

// backendKey is the key of a request's backend in its context.
type backendKey struct{}

// NewAuthClient returns a client without connections.
func NewAuthClient() *AuthClient {
	return &AuthClient{&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return pool.Conns[*transport.Client](ctx.Value(backendKey{}).(*pool.Backend)).Dial(ctx)
		},
		DisableCompression: true, MaxIdleConnsPerHost: 64, MaxIdleConns: 1024, IdleConnTimeout: 4 * time.Second,
		MaxResponseHeaderBytes: maxAuthHead,
	}}
}

// Close closes the idle connections.
func (c *AuthClient) Close() { c.transport.CloseIdleConnections() }

var authUnavailable = &filter.Refusal{Status: http.StatusServiceUnavailable, Reason: "the authorization service is unavailable", Rejected: "auth"}

// Request implements filter.Request.
func (f *ForwardAuth) Request(x filter.Exchange) filter.Verdict {
	if r := x.(*Exchange).undecidable(); r != nil {
		return filter.Refuse(r)
	}
	header, host := x.(*Exchange).authHeader()
	grant := &filter.Grant{}
	return filter.Verdict{Grant: grant, Ask: func(ctx context.Context) *filter.Refusal {
		ctx, cancel := context.WithTimeout(ctx, f.Timeout)
		defer cancel()
		return f.ask(ctx, header, host, grant)
	}}
}

// Explain implements filter.Explainer: only the service knows.
func (f *ForwardAuth) Explain(x filter.Exchange) filter.Verdict {
	return filter.Refuse(x.(*Exchange).undecidable())
}

var unresolvedPath = &filter.Refusal{
	Status: http.StatusBadRequest, Reason: "the path has dot segments or empty ones, about which forward_auth cannot decide", Rejected: "ambiguous_path", Close: true,
}

var twoCredentials = &filter.Refusal{
	Status: http.StatusBadRequest, Reason: "there is more than one Authorization field", Rejected: "auth", Close: true,
}

// undecidable refuses requests that a service could read in another way than who acts on them: lb resolves dot segments and merges slashes
// of a path, and so do some backends.
func (x *Exchange) undecidable() *filter.Refusal {
	if !route.Plain(x.path, x.clean) && route.Unresolved(x.path) {
		return unresolvedPath
	}
	several := false
	for i := range x.Request.Fields {
		if message.EqualFold(x.Request.Fields[i].Name, "authorization") {
			if several {
				return twoCredentials
			}
			several = true
		}
	}
	return nil
}

// authHeader returns copies of the fields that a service gets: the client's, without those about the body, the connection and the client's
// cache, and those that describe the request.
func (x *Exchange) authHeader() (header http.Header, host string) {
	header = http.Header{}
	for i := range x.Request.Fields {
		f := &x.Request.Fields[i]
		switch k := f.Kind; {
		case f.Hop, k == message.Host, k == message.ContentLengthField, k == message.Expect, k == message.Trailer, k == message.Proxy,
			k >= message.Forwarded && k <= message.XRequestID, k >= message.IfMatch && k <= message.Range:
			continue
		}
		header.Add(string(f.Name), string(f.Value))
	}
	out := &x.worker.outgoing
	out.Reset()
	x.addForwarded()
	for i := range out.Fields {
		header.Set(string(out.Fields[i].Name), string(out.Fields[i].Value))
	}
	if header.Get("User-Agent") == "" {
		header["User-Agent"] = []string{""} // or net/http would send one of its own
	}
	header.Set("X-Forwarded-Method", string(x.Request.Method))
	header.Set("X-Forwarded-Uri", string(x.linkedPath())+string(x.query))
	return header, string(x.Request.Authority)
}

// ask asks one backend of the pool, or others if one fails.
func (f *ForwardAuth) ask(ctx context.Context, header http.Header, host string, grant *filter.Grant) *filter.Refusal {
	var tried []*pool.Backend
	for len(tried) < maxAuthTries {
		b, err := f.Pool.Pick(ctx, 0, tried)
		if err != nil {
			return authUnavailable
		}
		again := len(tried) > 0 && tried[len(tried)-1] == b
		tried = append(tried, b)
		refusal, err := f.askBackend(ctx, b, header, host, grant)
		b.Release()
		if err == nil {
			return refusal
		}
		if again || ctx.Err() != nil {
			break
		}
	}
	return authUnavailable
}

// askBackend asks one backend.
func (f *ForwardAuth) askBackend(ctx context.Context, b *pool.Backend, header http.Header, host string, grant *filter.Grant) (*filter.Refusal, error) {
	key := sha256.Sum256([]byte(f.Settings + "\x00" + b.Address()))
	target := *f.Target
	target.Scheme, target.Host = "http", hex.EncodeToString(key[:16]) // by which connections are kept
	r := (&http.Request{
		Method: http.MethodGet, Host: host, Header: header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, URL: &target,
	}).WithContext(context.WithValue(ctx, backendKey{}, b))
	began := time.Now()
	response, err := f.Client.transport.RoundTrip(r)
	if err != nil {
		b.Report(authOutcome(ctx, err))
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 599 { // the body of a switch of protocols would be the connection
		b.Report(pool.Protocol)
		return nil, errors.New(response.Status)
	}
	b.Observe(0, time.Since(began))
	b.Metrics.Requests.Inc(response.StatusCode)
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAuthBody+1))
	if err != nil {
		b.Report(authOutcome(ctx, err))
		return nil, err
	}
	if isFailure(response.StatusCode) {
		b.Report(pool.Status)
		return nil, errors.New(response.Status)
	}
	b.Report(pool.Success)
	if response.StatusCode/100 == 2 {
		for _, name := range f.Copy {
			for _, value := range response.Header.Values(name) {
				grant.Fields = append(grant.Fields, message.NewField(name, value))
			}
		}
		return nil, nil
	}
	if len(body) > maxAuthBody {
		return nil, errors.New("the response is too large")
	}
	return passedOn(response, body), nil
}

// passedOn returns the refusal that is the service's response. The other fields of its head are about its connection and its body.
func passedOn(response *http.Response, body []byte) *filter.Refusal {
	r := &filter.Refusal{Status: response.StatusCode, Reason: "refused by the authorization service", Rejected: "auth", Whole: true, Body: body}
	named := map[string]bool{}
	for option := range strings.SplitSeq(strings.Join(response.Header.Values("Connection"), ","), ",") {
		named[http.CanonicalHeaderKey(strings.TrimSpace(option))] = true
	}
	for name, values := range response.Header {
		kind := message.KindOf([]byte(name))
		if kind.HopByHop() || kind == message.ContentLengthField || kind == message.Trailer || kind == message.XRequestID || kind == message.Date ||
			named[name] || !message.IsToken([]byte(name)) { // package http accepts spaces in names
			continue
		}
		for _, value := range values {
			r.Fields = append(r.Fields, message.NewField(name, value))
		}
	}
	return r
}

// authOutcome classifies the failure of a request to a service.
func authOutcome(ctx context.Context, err error) pool.Outcome {
	var e *transport.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return pool.Aborted
	case errors.As(err, &e):
		return outcomeOf(e)
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return pool.Timeout
	}
	return pool.Reset
}
