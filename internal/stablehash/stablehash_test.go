package stablehash

import "testing"

// Other instances and other versions of lb must have the same results.
func TestSameEverywhere(t *testing.T) {
	for text, want := range map[string]uint64{"": 0xf52a15e9a9b5e89b, "ann": 0x8096e52ad559ed80} {
		if got := New().AddString(text).Sum(); got != want {
			t.Errorf("%q is %#x, want %#x", text, got, want)
		}
		if got := New().Add([]byte(text)).Sum(); got != want {
			t.Errorf("the bytes of %q are %#x, want %#x", text, got, want)
		}
	}
}
