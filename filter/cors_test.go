package filter

import (
	"strings"
	"testing"
	"time"

	"lb/message"
)

// crossing is a request of a web page.
type crossing struct {
	exchange
	head   message.Request
	secure bool
}

func (x *crossing) Message() *message.Request { return &x.head }
func (x *crossing) Secure() bool              { return x.secure }

func fromPage(method string, lines ...string) *crossing {
	x := &crossing{head: message.Request{Method: []byte(method)}}
	if len(lines) > 0 {
		x.head.Fields = message.Lines([]byte(strings.Join(lines, "\r\n")+"\r\n"), nil)
	}
	return x
}

// responded returns the fields that a response filter makes of a backend's.
func responded(f Response, x Exchange, kind Kind, lines ...string) string {
	r := message.Response{Status: 200}
	if len(lines) > 0 {
		r.Fields = message.Lines([]byte(strings.Join(lines, "\r\n")+"\r\n"), nil)
	}
	f.Response(x, &r, kind)
	var text []string
	for _, field := range r.Fields {
		text = append(text, string(field.Name)+": "+string(field.Value))
	}
	return strings.Join(text, "; ")
}

func TestPreflight(t *testing.T) {
	const wants = "Access-Control-Request-Method: PUT"
	refused := &Refusal{Status: 405}
	c := NewCORS(CORSOptions{
		Origins: []string{"https://app.example", "https://*.example.org"}, Methods: []string{"GET", "PUT"}, Headers: []string{"X-A", "X-B"},
		Credentials: true, MaxAge: time.Hour, Refused: refused,
	})
	for _, tc := range []struct {
		x      *crossing
		status int // 0: passes
	}{
		{fromPage("GET", "Origin: https://app.example"), 0},
		{fromPage("OPTIONS"), 405},
		{fromPage("OPTIONS", "Origin: https://app.example"), 405},
		{fromPage("OPTIONS", wants), 405},
		{fromPage("OPTIONS", "Origin: https://app.example", wants), 204},
		{fromPage("OPTIONS", "Origin: https://a.b.example.org", wants), 204},
		{fromPage("OPTIONS", "Origin: https://.example.org", wants), 403},
		{fromPage("OPTIONS", "Origin: https://example.org", wants), 403},
		{fromPage("OPTIONS", "Origin: http://a.example.org", wants), 403},
		{fromPage("OPTIONS", "Origin: https://evil.test/.example.org", wants), 403},
		{fromPage("OPTIONS", "Origin: https://evil.test@a.example.org", wants), 403},
		{fromPage("OPTIONS", "Origin: https://app.example.evil.test", wants), 403},
		{fromPage("OPTIONS", "Origin: null", wants), 403},
	} {
		status := 0
		if r := c.Request(tc.x).Refusal; r != nil {
			status = r.Status
			if text := string(message.Named(r.Fields, "access-control-allow-methods")); status == 204 && (text != "GET, PUT" || !r.Whole) {
				t.Errorf("%q", text)
			}
		}
		if status != tc.status {
			t.Errorf("%s %+v: %d, want %d", tc.x.head.Method, tc.x.head.Fields, status, tc.status)
		}
	}
	any := NewCORS(CORSOptions{Origins: []string{"*"}, Headers: []string{"*"}})
	r := any.Request(fromPage("OPTIONS", "Origin: null", wants, "Access-Control-Request-Headers: x-one, x-two")).Refusal
	if r == nil || string(message.Named(r.Fields, "access-control-allow-headers")) != "x-one, x-two" {
		t.Errorf("%+v", r)
	}
	if r := any.Request(fromPage("OPTIONS")).Refusal; r != nil {
		t.Errorf("%+v", r)
	}
}

func TestCORSResponse(t *testing.T) {
	listed := NewCORS(CORSOptions{Origins: []string{"https://app.example"}, Credentials: true})
	all := NewCORS(CORSOptions{Origins: []string{"*"}})
	page, other := fromPage("GET", "Origin: https://app.example"), fromPage("GET", "Origin: https://evil.test")
	own := []string{"A: 1", "access-control-allow-origin: https://evil.test", "Access-Control-Allow-Credentials: true"}
	for _, c := range []struct {
		f    *CORS
		x    *crossing
		kind Kind
		want string
	}{
		{listed, page, Usual, "A: 1; Vary: Origin; Access-Control-Allow-Origin: https://app.example; Access-Control-Allow-Credentials: true"},
		{listed, other, Usual, "A: 1; Vary: Origin"},
		{listed, fromPage("GET"), Outage, "A: 1; Vary: Origin"},
		{listed, page, Interim, "A: 1"},
		{all, other, Typed, "A: 1; Access-Control-Allow-Origin: *"},
	} {
		if got := responded(c.f, c.x, c.kind, own...); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestSecureHeaders(t *testing.T) {
	plain, secure := fromPage("GET"), fromPage("GET")
	secure.secure = true
	const rest = "X-Content-Type-Options: nosniff; X-Frame-Options: SAMEORIGIN; Referrer-Policy: strict-origin-when-cross-origin"
	for _, c := range []struct {
		x     *crossing
		kind  Kind
		lines []string
		want  string
	}{
		{plain, Usual, nil, rest},
		{secure, Usual, []string{"X-Powered-By: PHP"}, "Strict-Transport-Security: max-age=31536000; " + rest},
		{plain, Outage, []string{"x-frame-options: DENY"}, "x-frame-options: DENY; X-Content-Type-Options: nosniff; Referrer-Policy: strict-origin-when-cross-origin"},
		{secure, Interim, []string{"A: 1"}, "A: 1"},
	} {
		if got := responded(SecureHeaders{}, c.x, c.kind, c.lines...); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
