package proxy

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// frame returns a frame with n bytes of payload, some of which look like heads.
func frame(opcode byte, n int, masked bool) []byte {
	b := []byte{0x80 | opcode}
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch {
	case n < 126:
		b = append(b, mask|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(n))
	}
	if masked {
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, bytes.Repeat([]byte{0x88}, n)...)
}

// TestFrames: the ends of frames are found, all of them and no others, however the bytes are split into pieces.
func TestFrames(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stream []byte
		ends := map[int]bool{0: true}
		closed := -1
		for i := range 6 {
			sizes := []int{0, 1, 125, 126, 127, 500, 65535, 65536, 70000}
			opcode := byte(2)
			if i == 4 {
				opcode, closed = 8, len(stream)+2
			}
			stream = append(stream, frame(opcode, sizes[random.IntN(len(sizes))], random.IntN(2) == 0)...)
			ends[len(stream)] = true
		}
		var f frames
		for at := 0; at < len(stream); {
			if f.between() != ends[at] {
				t.Fatalf("at %d of %v: between %v", at, ends, f.between())
			}
			n := 1 + random.IntN(min(len(stream)-at, 300))
			if random.IntN(2) == 0 {
				n = min(n, 3)
			}
			piece := stream[at : at+n]
			if random.IntN(2) == 0 && !f.between() {
				n = f.next(piece)
				for end := at + 1; end < at+n; end++ {
					if ends[end] {
						t.Fatalf("next went from %d to %d over the end at %d", at, at+n, end)
					}
				}
				if n < len(piece) && !ends[at+n] {
					t.Fatalf("next stopped at %d of %v", at+n, ends)
				}
			} else {
				f.pass(piece)
			}
			at += n
			if f.closed != (at >= closed) && at != closed-1 { // the head may be incomplete
				if at > closed+14 || f.closed {
					t.Fatalf("at %d: closed %v, the close frame's head ends about %d", at, f.closed, closed)
				}
			}
		}
		if !f.between() || !f.closed {
			t.Fatalf("at the end: between %v, closed %v", f.between(), f.closed)
		}
	}
	var f frames
	if f.next([]byte{0x82}) != 0 {
		t.Error("next went into a frame that had not begun")
	}
}
