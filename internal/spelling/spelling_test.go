package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"check", "status", "top", "reload"}
	for name, want := range map[string]string{
		"chek": "check", "chcek": "check", "statsu": "status", "rload": "reload",
		"": "", "x": "", "xy": "", "frobnicate": "", strings.Repeat("check", 20): "",
	} {
		if got := Nearest(name, known, Tolerance(name)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Nearest("abc", []string{"abd", "abe"}, 1); got != "abd" {
		t.Errorf("of two as near: %q", got)
	}
	if got := Nearest("chek", known, 0); got != "" {
		t.Errorf("with no difference allowed: %q", got)
	}
}
