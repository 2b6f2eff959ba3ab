package lbtest

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestStretch: parts of a pattern are repeated, as often as they say or as the size allows.
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

// verdict is a testing.TB that records whether the test has failed.
type verdict struct {
	testing.TB
	text string
}

func (v *verdict) Helper() {}
func (v *verdict) Fatalf(format string, args ...any) {
	v.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// judge returns the result of CheckCost.
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

// TestCheckCost: linear costs pass, however large. Other costs fail, even if another goroutine causes them.
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
	inGoroutine := func() {
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
		{"quadratic in another goroutine", OfThread, inGoroutine, false},
		{"quadratic in another goroutine", OfProcess, inGoroutine, true},
	} {
		if text := judge(t, tc.of, tc.suspect, linear); strings.Contains(text, "of CPU time") != tc.fails {
			t.Errorf("%s, CPU %d: %q", tc.name, tc.of, text)
		}
	}
}
