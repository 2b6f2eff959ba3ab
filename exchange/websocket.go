package exchange

import "encoding/binary"

// The close frames with which the balancer ends a WebSocket: status 1001, going away
// (RFC 6455 sections 5.5.1 and 7.4.1). A client's frames are masked, here with zeros.
var (
	goingAway       = []byte{0x88, 2, 0x03, 0xe9}
	goingAwayMasked = []byte{0x88, 0x80 | 2, 0, 0, 0, 0, 0x03, 0xe9}
)

// frames follows where the frames of one direction of a WebSocket begin and end (RFC 6455 section
// 5.2). It checks nothing: that is what the two ends are for.
type frames struct {
	head   [14]byte
	have   int    // bytes of the present frame's head
	left   uint64 // bytes of its payload to come
	closed bool   // a close frame has begun
}

// between reports whether no frame is under way.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// pass takes note of p.
func (f *frames) pass(p []byte) {
	for len(p) > 0 {
		n := f.step(p)
		p = p[n:]
	}
}

// next takes note of p up to the end of the frame under way, if that is in p, and returns how much that
// is: 0 if no frame is under way.
func (f *frames) next(p []byte) int {
	done := 0
	for done < len(p) && !f.between() {
		done += f.step(p[done:])
	}
	return done
}

// step takes note of some of p, at least a byte.
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

// headSize returns how long the head is, as far as its first bytes tell.
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

// payload returns the length that a whole head gives.
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
