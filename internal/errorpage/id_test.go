package errorpage

import (
	"strings"
	"testing"
)

func TestSaneID(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a": true, "7b1c2e4f-90aa": true, "Root=1-67891233-abcdef012345678912345678": true,
		"a b": false, "a\"b": false, "a,b": false, "a<b>": false, "\x00": false, "ä": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		if SaneID([]byte(id)) != want {
			t.Errorf("%q: %v, want %v", id, !want, want)
		}
	}
}
