package auth

import (
	"context"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"lb/filter"
	"lb/internal/htpasswd"
	"lb/message"
)

// exchange is a filter.Exchange as these filters see it.
type exchange struct {
	client netip.Addr
	head   message.Request
}

func (x *exchange) Message() *message.Request { return &x.head }
func (x *exchange) ClientIP() netip.Addr      { return x.client }
func (x *exchange) Path() []byte              { return []byte("/") }
func (x *exchange) BodyTooLarge() bool        { return false }
func (x *exchange) Claims() map[string][]byte { return nil }

func with(lines ...string) *exchange {
	x := &exchange{client: netip.MustParseAddr("192.0.2.1")}
	if len(lines) > 0 {
		x.head.Fields = message.Lines([]byte(strings.Join(lines, "\r\n")+"\r\n"), nil)
	}
	return x
}

func basic(credentials string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}

func users(t testing.TB, credentials ...string) *Users {
	var text strings.Builder
	for _, c := range credentials {
		name, password, _ := strings.Cut(c, ":")
		h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(name + ":" + string(h) + "\n")
	}
	parsed, err := htpasswd.Parse([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	u := &Users{}
	u.Store(parsed)
	return u
}

// outcome returns the status of a refusal or 0, whether the filter asked, and the user.
func outcome(f filter.Request, x filter.Exchange) (status int, asked bool, user string) {
	v := f.Request(x)
	if v.Refusal != nil {
		return v.Refusal.Status, false, ""
	}
	if v.Ask != nil {
		asked = true
		if r := v.Ask(context.Background()); r != nil {
			return r.Status, true, ""
		}
	}
	if v.Grant != nil {
		user = v.Grant.User
	}
	return 0, asked, user
}

func TestBasic(t *testing.T) {
	f := NewBasic(`a "b"`, users(t, "ann:secret", "bob:pass:word"), NewChecks())
	for _, c := range []struct {
		name   string
		x      *exchange
		status int
		asked  bool
		user   string
	}{
		{"none", with(), 401, false, ""},
		{"right", with(basic("ann:secret")), 0, true, "ann"},
		{"right again", with(basic("ann:secret")), 0, false, "ann"},
		{"scheme in capitals", with(strings.Replace(basic("ann:secret"), "Basic", "BASIC ", 1)), 0, false, "ann"},
		{"password with a colon", with(basic("bob:pass:word")), 0, true, "bob"},
		{"wrong", with(basic("ann:Secret")), 401, true, ""},
		{"wrong again", with(basic("ann:Secret")), 401, true, ""},
		{"unknown user", with(basic("cy:secret")), 401, true, ""},
		{"empty", with("Authorization:"), 401, false, ""},
		{"no credentials", with("Authorization: Basic"), 401, false, ""},
		{"another scheme", with("Authorization: Bearer abc"), 401, false, ""},
		{"a longer scheme", with("Authorization: Basics YTpi"), 401, false, ""},
		{"not base64", with("Authorization: Basic !!!"), 401, false, ""},
		{"no colon", with(basic("ann")), 401, false, ""},
		{"too long", with(basic("ann:" + strings.Repeat("x", 2000))), 401, false, ""},
		{"two fields", with(basic("ann:secret"), basic("bob:x")), 400, false, ""},
	} {
		if status, asked, user := outcome(f, c.x); status != c.status || asked != c.asked || user != c.user {
			t.Errorf("%s: %d, asked %t, user %q", c.name, status, asked, user)
		}
	}
	if got := string(f.challenge.Fields[0].Value); got != `Basic realm="a \"b\"", charset="UTF-8"` {
		t.Error(got)
	}
	if n := testing.AllocsPerRun(100, func() { f.Request(with0) }); n > 0 {
		t.Errorf("known credentials cost %g allocations", n)
	}
}

var with0 = with(basic("ann:secret"))

// TestReplacedUsers: what was right for another file, or long ago, is checked again.
func TestReplacedUsers(t *testing.T) {
	u, checks := users(t, "ann:secret"), NewChecks()
	now := time.Now()
	checks.now = func() time.Time { return now }
	f := NewBasic("r", u, checks)
	x := with(basic("ann:secret"))
	outcome(f, x)
	if _, asked, _ := outcome(f, x); asked {
		t.Error("known credentials were checked")
	}
	now = now.Add(cacheLife + time.Second)
	if status, asked, _ := outcome(f, x); status != 0 || !asked {
		t.Error("credentials are known for ever")
	}
	u.Store(users(t, "ann:changed").Load())
	if status, _, _ := outcome(f, x); status != 401 {
		t.Error("the old password is still accepted")
	}
}

// TestFailures: a client that fails too often waits; known credentials and other clients do not.
func TestFailures(t *testing.T) {
	f := NewBasic("r", users(t, "ann:secret", "bob:secret"), NewChecks())
	outcome(f, with(basic("ann:secret")))
	for i := range failuresBurst {
		if status, _, _ := outcome(f, with(basic("ann:wrong"))); status != 401 {
			t.Fatalf("attempt %d: %d", i, status)
		}
	}
	if status, asked, _ := outcome(f, with(basic("bob:secret"))); status != 429 || asked {
		t.Errorf("%d, asked %t", status, asked)
	}
	if status, _, _ := outcome(f, with(basic("ann:secret"))); status != 0 {
		t.Errorf("known credentials: %d", status)
	}
	other := with(basic("bob:secret"))
	other.client = netip.MustParseAddr("192.0.2.2")
	if status, _, _ := outcome(f, other); status != 0 {
		t.Errorf("another client: %d", status)
	}
}

// TestTurns: only so many checks run at a time, and only so many wait.
func TestTurns(t *testing.T) {
	checks := NewChecks()
	f := NewBasic("r", users(t, "ann:secret"), checks)
	for range cap(checks.turns) {
		checks.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan *filter.Refusal)
	go func() { result <- f.Request(with(basic("ann:secret"))).Ask(ctx) }()
	cancel()
	if r := <-result; r != overloaded {
		t.Errorf("%+v", r)
	}
	checks.waiting.Store(maxWaiting)
	if r := f.Request(with(basic("ann:secret"))).Ask(context.Background()); r != overloaded {
		t.Errorf("%+v", r)
	}
	checks.waiting.Store(0)
	<-checks.turns
	if r := f.Request(with(basic("ann:secret"))).Ask(context.Background()); r != nil {
		t.Errorf("%+v", r)
	}
}

func BenchmarkKnown(b *testing.B) {
	f := NewBasic("r", users(b, "ann:secret"), NewChecks())
	outcome(f, with0)
	b.ReportAllocs()
	for b.Loop() {
		f.Request(with0)
	}
}

func FuzzBasic(f *testing.F) {
	u := users(f, "ann:secret")
	b := NewBasic("r", u, NewChecks())
	f.Add("Basic YW5uOnNlY3JldA==")
	f.Add("basic  Og==")
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n") {
			return
		}
		v := b.Request(with("Authorization: " + value))
		if v.Refusal == nil && v.Ask == nil && v.Grant == nil {
			t.Fatal("it passes")
		}
	})
}
