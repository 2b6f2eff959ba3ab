//go:build !race

package coding

import (
	"strings"
	"testing"
)

// TestEncoderIsReused: encoders are taken again; zstd allocates two small things for each body.
func TestEncoderIsReused(t *testing.T) {
	piece := []byte(strings.Repeat("The quick brown fox. ", 500))
	for _, c := range All {
		var all Encoders
		encode := func() {
			e := all.Get(c, DefaultLevel)
			e.Encode(piece, false)
			e.Flush()
			e.Encode(piece, true)
			e.Release()
		}
		for range 10 {
			encode()
		}
		if n := testing.AllocsPerRun(50, encode); n > 2 {
			t.Errorf("%s: %v allocations", c.Name(), n)
		}
	}
}
