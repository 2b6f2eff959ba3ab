package proxy

import (
	"testing"

	"lb/internal/wire"
	"lb/pool"
)

// TestReturningClientCostsNothing: for a client that comes back with its cookie nothing is computed.
func TestReturningClientCostsNothing(t *testing.T) {
	s := &Sticky{Cookie: "lb", Secret: []byte("0123456789abcdef")}
	p := pool.New(pool.Options{Name: "app", Members: []pool.Member{{Address: "a"}, {Address: "b"}}, Sticky: &pool.Sticky{
		Value: func(address string) string { return s.Value("app", address) }, Key: "k",
	}})
	defer p.Close()
	b := p.Backend("b")
	x := &Exchange{}
	set := s.appendCookie(nil, x, b)
	want := "Set-Cookie: lb=" + s.Value("app", "b") + "; Path=/; HttpOnly; SameSite=Lax\r\n"
	if string(set) != want {
		t.Fatalf("a new client gets %q, want %q", set, want)
	}
	x.Fields, _ = wire.ParseFields([]byte("Cookie: x=1; lb="+s.Value("app", "b")+"\r\n"), nil)
	if n := testing.AllocsPerRun(100, func() { set = s.appendCookie(set[:0], x, b) }); n != 0 || len(set) != 0 {
		t.Errorf("a returning one: %v allocations, %q", n, set)
	}
	if other := s.appendCookie(nil, x, p.Backend("a")); len(other) == 0 {
		t.Error("a client that went elsewhere is not told")
	}
}
