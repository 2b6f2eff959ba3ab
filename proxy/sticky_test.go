package proxy

import (
	"testing"

	"lb/message"
	"lb/pool"
)

// TestNoHashForReturningClient: no hash is computed for a client that already has its cookie.
func TestNoHashForReturningClient(t *testing.T) {
	s := &Sticky{Cookie: "lb", Secret: []byte("0123456789abcdef")}
	p := pool.New(pool.Options{Name: "app", Members: []pool.Member{{Address: "a"}, {Address: "b"}}, Sticky: &pool.Sticky{
		Value: func(address string) string { return s.Value("app", address) }, Key: "k",
	}})
	defer p.Close()
	b := p.Backend("b")
	x := &Exchange{Request: &message.Request{}, in: Inbound{}}
	s.setCookie(x, b)
	set := x.Extra[0].Line
	want := "Set-Cookie: lb=" + s.Value("app", "b") + "; Path=/; HttpOnly; SameSite=Lax\r\n"
	if string(set) != want {
		t.Fatalf("a new client gets %q, want %q", set, want)
	}
	x.Request.Fields = message.Lines([]byte("Cookie: x=1; lb="+s.Value("app", "b")+"\r\n"), nil)
	if n := testing.AllocsPerRun(100, func() { s.setCookie(x, b) }); n != 0 || len(x.Extra) != 1 {
		t.Errorf("a returning one: %v allocations, %+v", n, x.Extra[1:])
	}
	if s.setCookie(x, p.Backend("a")); len(x.Extra) != 2 {
		t.Error("a client that was served by another backend gets no new cookie")
	}
}
