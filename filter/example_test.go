package filter_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"lb/filter"
	"lb/message"
)

// permissions is a service that decides which client may see a path.
type permissions interface {
	Permits(ctx context.Context, client netip.Addr, path []byte) (bool, error)
}

// authorization is a request filter that asks a service.
type authorization struct {
	service permissions
	timeout time.Duration
}

var (
	forbidden   = &filter.Refusal{Status: http.StatusForbidden, Reason: "not permitted"}
	unavailable = &filter.Refusal{Status: http.StatusServiceUnavailable, Reason: "permissions are unavailable"}
)

// Request implements filter.Request.
func (a *authorization) Request(x filter.Exchange) filter.Verdict {
	client, path := x.ClientIP(), bytes.Clone(x.Path()) // copies: Ask must not use x
	return filter.Verdict{Ask: func(ctx context.Context) *filter.Refusal {
		ctx, cancel := context.WithTimeout(ctx, a.timeout) // ctx itself ends only when the client disconnects
		defer cancel()
		switch ok, err := a.service.Permits(ctx, client, path); {
		case err != nil:
			return unavailable
		case !ok:
			return forbidden
		}
		return nil // the request passes on to the next filter
	}}
}

// public permits what is below /public/.
type public struct{}

func (public) Permits(_ context.Context, _ netip.Addr, path []byte) (bool, error) {
	return bytes.HasPrefix(path, []byte("/public/")), nil
}

// request is an Exchange as a test may need it.
type request struct{ path string }

func (request) Message() *message.Request { return &message.Request{} }
func (request) ClientIP() netip.Addr      { return netip.MustParseAddr("192.0.2.1") }
func (r request) Path() []byte            { return []byte(r.path) }
func (request) BodyTooLarge() bool        { return false }
func (request) Claims() map[string][]byte { return nil }

func Example_question() {
	var f filter.Request = &authorization{service: public{}, timeout: time.Second}
	for _, path := range []string{"/public/a", "/private"} {
		if refusal := f.Request(request{path}).Ask(context.Background()); refusal != nil {
			fmt.Println(path, refusal.Status, refusal.Reason)
		} else {
			fmt.Println(path, "passes")
		}
	}
	// Output:
	// /public/a passes
	// /private 403 not permitted
}
