package proxy

import "encoding/binary"

// The close frames that lb sends to end a WebSocket: status 1001, going away (RFC 6455 sections 5.5.1 and 7.4.1). Frames to the
// backend must be masked; the mask is zero.
var (
	goingAway       = []byte{0x88, 2, 0x03, 0xe9}
	goingAwayMasked = []byte{0x88, 0x80 | 2, 0, 0, 0, 0, 0x03, 0xe9}
)

// frames tracks where the frames of one direction of a WebSocket begin and end (RFC 6455 section 5.2). It does not validate them; the
// two ends do.
type frames struct {
	head   [14]byte
	have   int    // bytes of the current frame's head received so far
	left   uint64 // bytes of its payload still to come
	closed bool   // a close frame has begun
}

// between reports whether the last frame is complete and the next has not begun.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// pass consumes p.
func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		n := f.step(p)
		p = p[n:]
	}
}

// next consumes p up to the end of the current frame and returns how many bytes that were: 0 between two frames.
func (f *frames) next(p []byte) int {
	done := 0
	for done < len(p) && !f.between() {
		done += f.step(p[done:])
	}
	return done
}

// step consumes at least one byte of p.
func (f *frames) step(p []byte) int {
	if f.left > 0 {
		n := int(min(f.left, uint64(len(p))))
		f.left -= uint64(n)
		return n
	}
	n := copy(f.head[f.have:f.headSize()], p)
	f.have += n
	if f.have >= 2 && f.have == f.headSize() {
		f.closed = f.closed || f.head[0]&0x0f == 8
		f.left, f.have = f.payload(), 0
	}
	return n
}

// headSize returns the length of the head as far as it is known from the first bytes.
func (f *frames) headSize() int {
	size := 2
	if f.have < 2 {
		return size
	}
	switch f.head[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if f.head[1]&0x80 != 0 {
		size += 4
	}
	return size
}

// payload returns the payload length from a complete head.
func (f *frames) payload() uint64 {
	switch short := f.head[1] & 0x7f; short {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(short)
	}
}
