//go:build unix

package descriptor

import (
	"os"
	"testing"
)

// TestFile: a second file for the same open file, which stays open when the first is closed.
func TestFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	other, err := File(f, f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	f.Close()
	got := make([]byte, 7)
	if _, err := other.ReadAt(got, 0); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := File(f, f.Name()); err == nil {
		t.Error("of a closed one")
	}
}
