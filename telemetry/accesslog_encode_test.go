package telemetry

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

func TestAccessLogMinimalEntry(t *testing.T) {
	e := &Entry{Time: time.Unix(0, 0).UTC(), Status: 400, Error: "bad request"}
	if got, want := string(appendJSON(nil, e)), `{"time":"1970-01-01T00:00:00.000Z","client":"-","status":400,"bytes_in":0,"bytes_out":0,"duration_ms":0.000,"error":"bad request"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if got, want := string(appendCombined(nil, e)), `- - - [01/Jan/1970:00:00:00 +0000] "-" 400 0 "-" "-"`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestJSONStrings(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 `""`,
		"plain":                            `"plain"`,
		`a"b\c`:                            `"a\"b\\c"`,
		"a\nb\rc\x00":                      `"a\u000ab\u000dc\u0000"`,
		"\x1b[31m\x7f":                     `"\u001b[31m\u007f"`,
		"ünï→😀":                            `"ünï→😀"`,
		"\xff\xc3":                         `"\ufffd\ufffd"`,
		"a\xe2\x80":                        `"a\ufffd\ufffd"`,
		"\u0085\u2028\u2029":               `"\u0085\u2028\u2029"`,
		"\ufffd":                           "\"\ufffd\"",
		"\xed\xa0\x80":                     `"\ufffd\ufffd\ufffd"`, // a surrogate half
		"\n" + `{"time":"2026","forged":1`: `"\u000a{\"time\":\"2026\",\"forged\":1"`,
	} {
		if got := `"` + string(appendJSONString(nil, in)) + `"`; got != want {
			t.Errorf("%q: got %s want %s", in, got, want)
		}
	}
}

// Whatever bytes a client sends, an entry is one line: valid JSON with the same text in it.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a\nb"), []byte(`x"\`), []byte("\xff\x00"), int64(-1), 0)
	f.Add([]byte(""), []byte("\u2028\u0085"), []byte("\xed\xa0\x80"), []byte("\xf0\x9f\x98"), int64(1<<62), 1000)
	f.Fuzz(func(t *testing.T, method, target, agent, id []byte, n int64, status int) {
		e := &Entry{Method: method, Target: target, UserAgent: agent, RequestID: id, Referer: agent, Host: target,
			Error: string(agent), Site: string(id), Status: status, BytesIn: n, Duration: time.Duration(n), Upstream: time.Duration(n)}
		line := appendJSON(nil, e)
		if bytes.IndexFunc(line[:len(line)-1], isLineEnd) >= 0 || line[len(line)-1] != '\n' {
			t.Fatalf("no single line: %q", line)
		}
		var got struct {
			Method, Target string
			Agent          string `json:"user_agent"`
			Status         int
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		// encoding/json also writes invalid bytes as U+FFFD: compare with what it reads back.
		for _, c := range []struct {
			in  []byte
			out string
		}{{method, got.Method}, {target, got.Target}, {agent, got.Agent}} {
			text, _ := json.Marshal(string(c.in))
			var want string
			json.Unmarshal(text, &want)
			if c.out != want {
				t.Fatalf("%q became %q", c.in, c.out)
			}
		}
		line = appendCombined(nil, e)
		for _, c := range line[:len(line)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("no printable line: %q", line)
			}
		}
		if bytes.Count(line, []byte{'"'}) != 6 {
			t.Fatalf("a client's quote in %q", line)
		}
	})
}

func isLineEnd(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }
