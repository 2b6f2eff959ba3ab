package coding

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lb/internal/poison"
)

// The levels of a streaming encoder. A higher one takes more CPU for a better ratio. The highest keeps the time for a piece of 64 KiB
// within a few milliseconds, since it is spent on an event loop.
const (
	LeastLevel   = 1
	DefaultLevel = 3
	MostLevel    = 6
)

const (
	// mostEncoders is how many encoders may be in use at the same time, each of which has from 1 to 5 MiB of memory.
	mostEncoders = 256

	// window is the window of zstd and Brotli in bytes, as a power of two. The memory of an encoder depends on it.
	window = 17

	// keepOutput is the capacity above which the output buffer of an encoder is not kept.
	keepOutput = 256 << 10
)

// Encoders are the encoders of a process. The zero value is ready for use, and its methods are safe for concurrent use.
type Encoders struct {
	free  [MostLevel + 1][Count]sync.Pool // of *Encoder
	inUse atomic.Int64
}

// Get returns an encoder for one body, nil if there are too many in use. It belongs to the caller until Release.
func (s *Encoders) Get(c Coding, level int) *Encoder {
	if s.inUse.Add(1) > mostEncoders {
		s.inUse.Add(-1)
		return nil
	}
	e, ok := s.free[level][c].Get().(*Encoder)
	if !ok {
		e = &Encoder{all: s, coding: c, level: level}
		if e.to = newStream(e, c, level); e.to == nil {
			s.inUse.Add(-1)
			return nil
		}
	}
	e.to.Reset(e)
	return e
}

// InUse returns how many encoders are in use.
func (s *Encoders) InUse() int64 { return s.inUse.Load() }

// stream is what the three packages have in common.
type stream interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// newStream returns what encodes with that level, nil if it cannot be made.
func newStream(to io.Writer, c Coding, level int) stream {
	switch c {
	case Zstd:
		speed := zstd.SpeedDefault
		switch {
		case level < DefaultLevel:
			speed = zstd.SpeedFastest
		case level == MostLevel:
			speed = zstd.SpeedBetterCompression
		}
		w, err := zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(speed), zstd.WithWindowSize(1<<window),
			zstd.WithLowerEncoderMem(true))
		if err == nil {
			return w
		}
	case Brotli:
		return brotli.NewWriterOptions(to, brotli.WriterOptions{Quality: max(level, 2), LGWin: window})
	case Gzip:
		if w, err := gzip.NewWriterLevel(to, level); err == nil {
			return w
		}
	}
	return nil
}

// Encoder encodes one body, piece by piece. It is for one goroutine at a time.
type Encoder struct {
	all    *Encoders
	coding Coding
	level  int
	to     stream
	out    []byte
	held   bool // something was encoded since the last flush
}

// Write implements io.Writer for the stream.
func (e *Encoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

// Encode encodes a piece and returns what is ready, perhaps nothing; after the last piece that is the rest. The result is valid until the
// next call. The errors of the streams are those of their output, which has none.
func (e *Encoder) Encode(piece []byte, last bool) []byte {
	e.out = e.out[:0]
	if len(piece) > 0 {
		_, _ = e.to.Write(piece)
		e.held = true
	}
	if last {
		_ = e.to.Close()
		e.held = false
	}
	return e.out
}

// Held reports whether Flush would return something.
func (e *Encoder) Held() bool { return e.held }

// Flush returns what makes everything encoded so far decodable. It costs some bytes. The result is valid until the next call.
func (e *Encoder) Flush() []byte {
	e.out = e.out[:0]
	_ = e.to.Flush()
	e.held = false
	return e.out
}

// Release gives the encoder back, whether or not the body was encoded to its end.
func (e *Encoder) Release() {
	poison.Fill(e.out)
	if e.out = e.out[:0]; cap(e.out) > keepOutput {
		e.out = nil
	}
	e.held = false
	e.all.inUse.Add(-1)
	e.all.free[e.level][e.coding].Put(e)
}
