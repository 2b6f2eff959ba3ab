package limit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lb/filter"
	"lb/internal/gcra"
	"lb/message"
	"lb/telemetry"
)

// exchange is a filter.Exchange as these filters see it.
type exchange struct {
	client netip.Addr
	path   string
	head   message.Request
	claims map[string][]byte
}

func (x *exchange) Message() *message.Request { return &x.head }
func (x *exchange) ClientIP() netip.Addr      { return x.client }
func (x *exchange) Path() []byte              { return []byte(x.path) }
func (x *exchange) BodyTooLarge() bool        { return false }
func (x *exchange) Claims() map[string][]byte { return x.claims }

func from(client string, lines ...string) *exchange {
	x := &exchange{path: "/"}
	if client != "" {
		x.client = netip.MustParseAddr(client)
	}
	if len(lines) > 0 {
		x.head.Fields = message.Lines([]byte(strings.Join(lines, "\r\n")+"\r\n"), nil)
	}
	return x
}

// with adds a token with that subject, or without one if it is empty.
func with(x *exchange, subject string) *exchange {
	x.claims = map[string][]byte{}
	if subject != "" {
		x.claims["sub"] = []byte(subject)
	}
	return x
}

func decisions() Decisions { return NewDecisions(telemetry.NewRegistry().NewScope(), "/") }

// TestKeys: which requests share a limit.
func TestKeys(t *testing.T) {
	for _, c := range []struct {
		key  string
		a, b *exchange
		same bool
	}{
		{"client_ip", from("192.0.2.1"), from("192.0.2.1"), true},
		{"client_ip", from("192.0.2.1"), from("::ffff:192.0.2.1"), true},
		{"client_ip", from("192.0.2.1"), from("192.0.2.2"), false},
		{"client_ip", from("2001:db8::1"), from("2001:db8::ffff:2"), true},
		{"client_ip", from("2001:db8::1"), from("2001:db8:0:1::1"), false},
		{"client_ip", from(""), from(""), true},
		{"client_ip", from(""), from("192.0.2.1"), false},
		{"header:X-Api-Key", from("192.0.2.1", "x-api-key: a"), from("192.0.2.2", "X-API-KEY: a"), true},
		{"header:X-Api-Key", from("192.0.2.1", "X-Api-Key: a"), from("192.0.2.1", "X-Api-Key: b"), false},
		{"header:X-Api-Key", from("192.0.2.1"), from("192.0.2.2"), false},
		{"header:X-Api-Key", from("192.0.2.1", "X-Api-Key:"), from("192.0.2.1"), true},
		{"cookie:id", from("192.0.2.1", "Cookie: a=b; id=1"), from("192.0.2.2", "Cookie: id=1"), true},
		{"cookie:id", from("192.0.2.1", "Cookie: ID=1"), from("192.0.2.1"), true},
		{"path", from("192.0.2.1"), from("192.0.2.2"), true},
		{"jwt:sub", with(from("192.0.2.1"), "ann"), with(from("192.0.2.2"), "ann"), true},
		{"jwt:sub", with(from("192.0.2.1"), "ann"), with(from("192.0.2.1"), "bob"), false},
		{"jwt:sub", with(from("192.0.2.1"), ""), from("192.0.2.1"), true},
		{"jwt:other", with(from("192.0.2.1"), "ann"), with(from("192.0.2.2"), "ann"), false},
	} {
		k, table := NewKey(c.key), gcra.NewTable(4)
		a, _ := k.of(c.a, table.Seed())
		b, _ := k.of(c.b, table.Seed())
		if (a == b) != c.same {
			t.Errorf("%s: %+v and %+v share a limit: %t", c.key, c.a, c.b, a == b)
		}
	}
}

func TestRate(t *testing.T) {
	d := decisions()
	r := NewRate(RateOptions{Name: "default", PerSecond: 100.0 / 3600, Window: time.Hour, Burst: 2, Table: gcra.NewTable(64), Decisions: d})
	x := from("192.0.2.1")
	fields := func() string {
		var response message.Response
		r.Response(x, &response, filter.Usual)
		var text []string
		for _, f := range response.Fields {
			text = append(text, string(f.Name)+": "+string(f.Value))
		}
		return strings.Join(text, ", ")
	}
	if got, want := fields(), `RateLimit-Policy: "default";q=100;w=3600, RateLimit: "default";r=2;t=0`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for i := range 2 {
		if v := r.Explain(x); v.Refusal != nil {
			t.Errorf("request %d is explained as refused", i)
		}
		if v := r.Request(x); v.Refusal != nil {
			t.Errorf("request %d is refused", i)
		}
	}
	if got := fields(); !strings.Contains(got, `"default";r=0;t=72`) && !strings.Contains(got, `"default";r=0;t=71`) {
		t.Error(got)
	}
	refusal := r.Request(x).Refusal
	if refusal == nil || refusal.Status != 429 || string(refusal.Fields[0].Line) != "Retry-After: 36\r\n" {
		t.Errorf("%+v", refusal)
	}
	if r.Explain(x).Refusal == nil || r.Explain(from("")).Refusal != nil {
		t.Error("the explanation differs")
	}
	var interim message.Response
	if r.Response(x, &interim, filter.Interim); len(interim.Fields) > 0 {
		t.Error("an interim response has fields")
	}
	if d.Allowed.Get() != 2 || d.Limited.Get() != 1 {
		t.Errorf("%d allowed, %d limited", d.Allowed.Get(), d.Limited.Get())
	}
}

// TestClaimIsNotKnownYet: before a token is accepted, nothing is explained or reported.
func TestClaimIsNotKnownYet(t *testing.T) {
	r := NewRate(RateOptions{Name: "default", Key: NewKey("jwt:sub"), PerSecond: 1, Window: time.Hour, Burst: 1, Table: gcra.NewTable(64), Decisions: decisions()})
	x := from("192.0.2.1")
	r.Request(x)
	if r.Explain(x).Refusal != nil {
		t.Error("explained as refused without a token")
	}
	var response message.Response
	if r.Response(x, &response, filter.Usual); len(response.Fields) > 0 {
		t.Errorf("%d fields", len(response.Fields))
	}
	if x = with(x, ""); r.Explain(x).Refusal == nil { // a token without the claim
		t.Error("not explained as refused")
	}
}

func TestConcurrency(t *testing.T) {
	c := &Concurrency{Limit: 2, Places: NewPlaces(), Decisions: decisions()}
	x := from("192.0.2.1")
	a, b := c.Request(x), c.Request(x)
	if a.Refusal != nil || b.Refusal != nil || c.Explain(x).Refusal == nil || c.Request(x).Refusal == nil || c.Request(from("192.0.2.2")).Refusal != nil {
		t.Error("not two of one client")
	}
	a.Hold.By.Release(a.Hold.Key)
	if c.Explain(x).Refusal != nil || c.Request(x).Refusal != nil {
		t.Error("a place was not given back")
	}
	for range 2 {
		c.Places.Release(b.Hold.Key)
	}
	if n := c.Places.inFlight(b.Hold.Key); n != 0 {
		t.Errorf("%d in flight", n)
	}
	left := 0
	for i := range c.Places.shards {
		left += len(c.Places.shards[i].taken)
	}
	if left != 1 { // the other client's
		t.Errorf("%d clients are remembered", left)
	}
}

// TestNoAllocations: a decision, either way, and the fields of a response in room that is there.
func TestNoAllocations(t *testing.T) {
	r := NewRate(RateOptions{Name: "default", PerSecond: 1, Window: time.Second, Burst: 50, Table: gcra.NewTable(64), Decisions: decisions()})
	c := &Concurrency{Limit: 2, Places: NewPlaces(), Decisions: decisions()}
	for _, x := range []*exchange{from("192.0.2.1"), with(from("2001:db8::1", "X-Api-Key: a", "Cookie: id=1"), strings.Repeat("a", 100))} {
		for _, key := range []string{"client_ip", "header:X-Api-Key", "cookie:id", "jwt:sub"} {
			r.Key, c.Key = NewKey(key), NewKey(key)
			var response message.Response
			if n := testing.AllocsPerRun(100, func() {
				r.Request(x)
				response.Reset(200)
				r.Response(x, &response, filter.Usual)
				v := c.Request(x)
				v.Hold.By.Release(v.Hold.Key)
			}); n > 0 {
				t.Errorf("%s: %g allocations", key, n)
			}
		}
	}
}

func BenchmarkRate(b *testing.B) {
	r := NewRate(RateOptions{Name: "default", PerSecond: 1000, Window: time.Second, Burst: 50, Table: gcra.NewTable(gcra.DefaultEntries), Decisions: decisions()})
	clients := make([]*exchange, 1000)
	for i := range clients {
		clients[i] = from(fmt.Sprintf("10.0.%d.%d", i/250, i%250))
	}
	for i := 0; b.Loop(); i++ {
		r.Request(clients[i%len(clients)])
	}
}
