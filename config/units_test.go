package config

import (
	"math"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1024": 1024, "16KiB": 16384, "8MiB": 8 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40,
		"1.5KiB": 1536, "5MB": 5e6, "10 KiB": 10240, "7B": 7, "1kB": 1000,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1e9", "inf", "NaN", "0x10", "1.2.3KiB", "9999999TiB", "1 2"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("parseSize(%q) = %d", text, got)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "1", 1024: "1KiB", 1536: "1536", 8 << 20: "8MiB", 1 << 50: "1024TiB"} {
		if got := formatSize(n); got != want {
			t.Errorf("formatSize(%d) = %q", n, got)
		}
	}
}

func TestStatusSet(t *testing.T) {
	set, err := parseStatusSet("200, 204,300-399")
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]bool{199: false, 200: true, 201: false, 204: true, 299: false, 300: true, 399: true, 400: false} {
		if set.Contains(status) != want {
			t.Errorf("Contains(%d) = %v", status, !want)
		}
	}
	for _, text := range []string{"", "20", "2xx", "200-", "-200", "600", "300-200", "200,,201", "+20", "200-300-400"} {
		if set, err := parseStatusSet(text); err == nil {
			t.Errorf("parseStatusSet(%q) = %v", text, set)
		}
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]float64{"100/s": 100, "60/m": 1, "3600/h": 1} {
		if got, ok := parseRate(text); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("parseRate(%q) = %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "100", "/s", "0/s", "-1/s", "1/d", "1.5/s"} {
		if _, ok := parseRate(text); ok {
			t.Errorf("parseRate(%q) is a rate", text)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:9900": true, "127.1.2.3:1": true, "[::1]:9900": true, "localhost:1": true, "unix:/x": true, "[::ffff:127.0.0.1]:1": true,
		":9900": false, "0.0.0.0:9900": false, "[::]:9900": false, "10.0.0.1:1": false, "example.com:1": false, "127.0.0.1": false,
	} {
		if loopback(address) != want {
			t.Errorf("loopback(%q) = %v", address, !want)
		}
	}
}

// Each diagnostic is printed on its own line, for any source.
func TestWriteText(t *testing.T) {
	d := Diagnostics{
		{Summary: "wrong", Detail: "Do this.", Pos: Pos{"a.hcl", 3, 5}, Source: "\tä = x", Width: 99},
		{Severity: Warning, Summary: "odd", Pos: Pos{File: "a.hcl"}},
	}
	want := "a.hcl:3:5: error: wrong\n    \tä = x\n    \t   ^^\n  Do this.\na.hcl: warning: odd\n"
	if got := d.String(); got != want {
		t.Errorf("got:\n%q\nwant:\n%q", got, want)
	}
	_, found := Parse([]Source{{Name: "x", Text: []byte("log {\n  level = \"\x1b[2Jinfo\u202e\"\n}\n")}})
	if text := found.String(); strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("control characters pass: %q", text)
	}
}
