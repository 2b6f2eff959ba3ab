package filter

import (
	"testing"

	"lb/message"
)

// TestLookOfManyVaryFields: joining the Vary fields of a backend takes time and memory in proportion to their length.
func TestLookOfManyVaryFields(t *testing.T) {
	fields := make([]message.Field, 4000)
	for i := range fields {
		fields[i] = message.NewField("Vary", "a")
	}
	var c contents
	allocations := testing.AllocsPerRun(3, func() { c = look(fields) })
	if want := 4000*len("a, ") - len(", "); len(c.vary) != want || string(c.vary[:7]) != "a, a, a" {
		t.Errorf("%d bytes, want %d", len(c.vary), want)
	}
	if allocations > 30 {
		t.Errorf("%v allocations", allocations)
	}
	if string(fields[0].Value) != "a" {
		t.Error("the first field was changed")
	}
}
