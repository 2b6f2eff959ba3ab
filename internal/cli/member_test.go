package cli

import "testing"

func TestParseMember(t *testing.T) {
	for text, want := range map[string]Member{
		"app/127.0.0.1:5000": {"app", "127.0.0.1:5000"}, "app/unix:/run/app.sock": {"app", "unix:/run/app.sock"},
		"app": {}, "app/": {}, "/127.0.0.1:5000": {}, "/": {}, "": {},
	} {
		if m, ok := ParseMember(text); ok != (want != Member{}) || ok && m != want {
			t.Errorf("%q: %+v, %v", text, m, ok)
		}
	}
}
