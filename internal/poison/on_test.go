//go:build poison

package poison

import "testing"

func TestFill(t *testing.T) {
	b := []byte("abcdef")
	Fill(b[1:3])
	if b[0] != 'a' || b[1] != Byte || b[5] != Byte {
		t.Errorf("%q", b)
	}
}
