package filter

import (
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"lb/message"
	"lb/route"
)

// exchange is a fake Exchange.
type exchange struct {
	client netip.Addr
	large  bool
}

func (*exchange) Message() *message.Request   { return &message.Request{} }
func (x *exchange) ClientIP() netip.Addr      { return x.client }
func (*exchange) Path() []byte                { return []byte("/") }
func (x *exchange) BodyTooLarge() bool        { return x.large }
func (x *exchange) Claims() map[string][]byte { return nil }

// TestRequestFilters: each filter passes and refuses the right requests.
func TestRequestFilters(t *testing.T) {
	var on atomic.Bool
	maintenance := &Maintenance{On: &on}
	access := &Access{Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	good := &exchange{client: netip.MustParseAddr("198.51.100.1")}
	for _, f := range []Request{maintenance, access, BodySize{}} {
		if v := f.Request(good); v.Refusal != nil || v.Ask != nil {
			t.Errorf("%T: %+v", f, v.Refusal)
		}
	}
	on.Store(true)
	bad := &exchange{client: netip.MustParseAddr("192.0.2.1"), large: true}
	for f, want := range map[Request]int{maintenance: 503, access: 403, BodySize{}: 413} {
		if r := f.Request(bad).Refusal; r == nil || r.Status != want || r.Reason == "" || r.Rejected == "" {
			t.Errorf("%T: %+v, want %d", f, r, want)
		}
	}
}

// TestHeaders: which fields must not be changed depends on the kind of response, and nothing is added to an interim one.
func TestHeaders(t *testing.T) {
	set := []route.Header{{Name: "Cache-Control", Value: "private"}, {Name: "X-Own", Value: "1"}}
	h := &Headers{
		Usual:  route.NewHeaderRules(set, nil, []string{"Content-Type", "A"}),
		Typed:  route.NewHeaderRules(set, nil, []string{"A"}),
		Outage: route.NewHeaderRules(set[1:], nil, []string{"A"}),
	}
	for kind, want := range map[Kind]string{
		Usual: "B Cache-Control X-Own", Typed: "Content-Type B Cache-Control X-Own", Outage: "Content-Type Cache-Control B X-Own", Interim: "B",
	} {
		r := message.Response{}
		for _, name := range []string{"Content-Type", "A", "Cache-Control", "B"} {
			r.Add(name, "x")
		}
		h.Response(nil, &r, kind)
		var names []string
		for _, f := range r.Fields {
			names = append(names, string(f.Name))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("kind %d: %s, want %s", kind, got, want)
		}
	}
}
