package lbtest

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestStretch: parts of a pattern are repeated, so often as they say or as the size allows.
func TestStretch(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		size    int
		want    string
	}{
		{"abc", 10, "abc"},
		{"a«b»c", 10, "abbbbbbbbc"},
		{"a«bc»«d»", 9, "abcbcdddd"},
		{"«3*ab»-«c»", 10, "ababab-ccc"},
		{"«5*»«*»", 4, "5*" + "**"},
		{"a«b", 10, "a«b"},
		{"a»b«»c", 10, "a»bc"},
		{"«99*ab»«c»", 8, "ababababc"},
		{"", 10, ""},
	} {
		if got := string(Stretch([]byte(tc.pattern), tc.size)); got != tc.want {
			t.Errorf("%q to %d bytes: %q, want %q", tc.pattern, tc.size, got, tc.want)
		}
	}
}

// verdict is a testing.TB that notes whether the test has failed.
type verdict struct {
	testing.TB
	text string
}

func (v *verdict) Helper() {}
func (v *verdict) Fatalf(format string, args ...any) {
	v.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// judge returns what CheckCost says.
func judge(t *testing.T, of CPU, suspect, harmless func()) string {
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		CheckCost(v, of, suspect, harmless)
	}()
	<-done
	return v.text
}

// TestCheckCost: what is linear passes, however large, and what is not fails, even if another goroutine does it.
func TestCheckCost(t *testing.T) {
	if !measuresCPU {
		t.Skip("CPU time is measured on Linux alone")
	}
	input := bytes.Repeat([]byte("a"), 128<<10)
	found := 0
	linear := func() {
		for range 100 {
			found += bytes.Count(input, []byte("a"))
		}
	}
	quadratic := func() {
		for i := range input {
			found += bytes.Count(input[i:], []byte("b"))
		}
	}
	elsewhere := func() {
		var other sync.WaitGroup
		other.Go(quadratic)
		other.Wait()
	}
	for _, tc := range []struct {
		name    string
		of      CPU
		suspect func()
		fails   bool
	}{
		{"linear", OfThread, linear, false},
		{"linear", OfProcess, linear, false},
		{"quadratic", OfThread, quadratic, true},
		{"quadratic", OfProcess, quadratic, true},
		{"quadratic elsewhere", OfThread, elsewhere, false},
		{"quadratic elsewhere", OfProcess, elsewhere, true},
	} {
		if text := judge(t, tc.of, tc.suspect, linear); strings.Contains(text, "of CPU time") != tc.fails {
			t.Errorf("%s, CPU %d: %q", tc.name, tc.of, text)
		}
	}
}
