package discovery

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"lb/internal/limits"
)

func TestParse(t *testing.T) {
	cases := []struct{ text, want string }{
		{"", ""},
		{"\n  \n# only words\n", ""},
		{"127.0.0.1:5000", "127.0.0.1:5000"},
		{"\t127.0.0.1:5000  \r\n[::1]:5000\r\n", "127.0.0.1:5000, [::1]:5000"},
		{"\ufeff127.0.0.1:5000\n", "127.0.0.1:5000"},
		{"\ufeff", ""},
		{"unix:/run/app.sock backup max_conns=7 weight=2 # why", "unix:/run/app.sock weight=2 max_conns=7 backup"},
		{"app.internal:80 weight=1", "app.internal:80"},
		{"a:1 max_conns=0", "a:1"},
	}
	for _, c := range cases {
		members, err := parse("f", []byte(c.text))
		if err != nil || words(members) != c.want {
			t.Errorf("%q: %q, %v; want %q", c.text, words(members), err, c.want)
		}
		for _, m := range members {
			if m.Weight < 1 {
				t.Errorf("%q: weight %d", c.text, m.Weight)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	const after = "; write weight=N, max_conns=N or backup after the address"
	const address = `; write "host:port" or "unix:/path"`
	const weight = "; write weight=N with N from 1 to 65535"
	cases := []struct{ text, want string }{
		{"127.0.0.1", `f:1: "127.0.0.1" is not an address` + address},
		{"# x\n\n:80", `f:3: ":80" is not an address` + address},
		{"a:0", `f:1: "a:0" is not an address` + address},
		{"a:65536", `f:1: "a:65536" is not an address` + address},
		{"::1:80", `f:1: "::1:80" is not an address` + address},
		{"http://a:80", `f:1: "http://a:80" is not an address` + address},
		{"unix:", `f:1: "unix:" is not an address` + address},
		{"weight=2 a:1", `f:1: "weight=2" is not an address` + address},
		{"a:1 b:1", `f:1: "b:1" is not valid` + after},
		{"a:1 backup=true", `f:1: "backup=true" is not valid` + after},
		{"a:1 weight", `f:1: "weight" is not valid` + after},
		{"a:1 weight=0", `f:1: "weight=0" is not valid` + weight},
		{"a:1 weight=65536", `f:1: "weight=65536" is not valid` + weight},
		{"a:1 weight=-1", `f:1: "weight=-1" is not valid` + weight},
		{"a:1 max_conns=x", `f:1: "max_conns=x" is not valid; write max_conns=N with N from 1, or 0 for no limit`},
		{"a:1 weight=1 weight=2", "f:1: weight appears twice; remove one of the two"},
		{"a:1\nb:1\na:1 weight=2", "f:3: a:1 is already on line 1; remove one of the two; for a larger share write weight=N"},
	}
	for _, c := range cases {
		members, err := parse("f", []byte(c.text))
		var line *LineError
		if !errors.As(err, &line) || err.Error() != c.want || members != nil {
			t.Errorf("%q: %v, %v\nwant %s", c.text, members, err, c.want)
		}
	}
}

// FuzzParse checks that what is accepted can be written and read again unchanged.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"127.0.0.1:5000\n[::1]:5000 weight=3\nunix:/run/app.sock backup max_conns=7 # why\n",
		"a:1 weight=0", "a:1 b:1", "\xff:1", "a:1\x00", "[:1", "a:1\r# x\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		members, err := parse("f", text)
		if err != nil {
			var line *LineError
			if !errors.As(err, &line) || line.Remedy == "" || line.Line < 1 || line.Line > strings.Count(string(text), "\n")+1 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		seen := make(map[string]bool)
		for _, m := range members {
			if seen[m.Address] || m.Weight < 1 || m.Weight > limits.MaxWeight || m.MaxConns < 0 {
				t.Fatalf("member %+v", m)
			}
			seen[m.Address] = true
			line := fmt.Sprintf("%s weight=%d max_conns=%d", m.Address, m.Weight, m.MaxConns)
			if m.Backup {
				line += " backup"
			}
			again, err := parse("f", []byte(line))
			if err != nil || len(again) != 1 || again[0] != m {
				t.Fatalf("%q read back as %v, %v", line, again, err)
			}
		}
	})
}
