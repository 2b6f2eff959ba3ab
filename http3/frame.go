package http3

import (
	"bufio"
	"errors"
	"io"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// The types of frames (RFC 9114 section 7.2).
const (
	frameData        = 0x0
	frameHeaders     = 0x1
	frameCancelPush  = 0x3
	frameSettings    = 0x4
	framePushPromise = 0x5
	frameGoAway      = 0x7
	frameMaxPushID   = 0xd
)

// isHTTP2Frame reports whether a frame type is one of HTTP/2 that HTTP/3 does not have (RFC 9114 section 7.2.8).
func isHTTP2Frame(kind uint64) bool { return kind == 0x2 || kind == 0x6 || kind == 0x8 || kind == 0x9 }

// The error codes (RFC 9114 section 8.1, RFC 9204 section 6).
const (
	codeNo               = 0x100
	codeInternal         = 0x102
	codeStreamCreation   = 0x103
	codeClosedCritical   = 0x104
	codeFrameUnexpected  = 0x105
	codeFrame            = 0x106
	codeExcessiveLoad    = 0x107
	codeID               = 0x108
	codeSettings         = 0x109
	codeMissingSettings  = 0x10a
	codeRequestRejected  = 0x10b
	codeRequestCancelled = 0x10c
	codeIncomplete       = 0x10d
	codeMessage          = 0x10e
	codeDecompression    = 0x200
)

// connError is what a client did wrong so that its connection must end.
type connError struct {
	code   quic.ApplicationErrorCode
	reason string
}

func (e *connError) Error() string { return e.reason }

// A reader reads the frames of a stream.
type reader struct {
	*bufio.Reader
	idle int // frames in a row that do nothing for a request
}

// readerSize is how many bytes are read at once, unless they are of a body.
const readerSize = 2 << 10

func newReader(s io.Reader) *reader { return &reader{Reader: bufio.NewReaderSize(s, readerSize)} }

// mostIdleFrames is how many frames in a row may be empty, or of a type that is not known.
const mostIdleFrames = 100

// next reads the type and the length of the next frame. Its error is io.EOF between two frames only.
func (r *reader) next() (kind, length uint64, err error) {
	if _, err = r.Peek(1); err != nil {
		return 0, 0, err
	}
	if kind, err = quicvarint.Read(r); err == nil {
		length, err = quicvarint.Read(r)
	}
	if err != nil {
		return 0, 0, cutFrame(err)
	}
	if isHTTP2Frame(kind) {
		return 0, 0, &connError{codeFrameUnexpected, "a frame of HTTP/2"}
	}
	return kind, length, nil
}

// nextOfMessage is next on the stream of a request. The frame is HEADERS or DATA; those of types that are not known are skipped.
func (r *reader) nextOfMessage() (kind, length uint64, err error) {
	for {
		kind, length, err = r.next()
		switch {
		case err != nil:
			return 0, 0, err
		case kind == frameData, kind == frameHeaders:
			return kind, length, nil
		case kind == frameSettings, kind == frameGoAway, kind == frameCancelPush, kind == framePushPromise, kind == frameMaxPushID:
			return 0, 0, &connError{codeFrameUnexpected, "a frame that is not allowed on the stream of a request"}
		}
		if err := r.idleFrame(); err != nil {
			return 0, 0, err
		}
		if err := r.skip(length); err != nil {
			return 0, 0, err
		}
	}
}

// idleFrame counts a frame that does nothing for a request.
func (r *reader) idleFrame() error {
	if r.idle++; r.idle > mostIdleFrames {
		return &connError{codeExcessiveLoad, "too many frames do nothing for a request"}
	}
	return nil
}

// mostSkipped is the most bytes of a frame that is skipped: one of a type that is not known, or of no interest.
const mostSkipped = 64 << 10

// skip reads the payload of a frame that is of no interest.
func (r *reader) skip(length uint64) error {
	if length > mostSkipped {
		return &connError{codeExcessiveLoad, "a frame of no use is too large"}
	}
	_, err := r.Discard(int(length))
	return cutFrame(err)
}

// cutFrame makes the end of a stream within a frame the connection error that it is (RFC 9114 section 7.1).
func cutFrame(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &connError{codeFrame, "a stream ends within a frame"}
	}
	return err
}

// appendFrame appends the type and the length of a frame.
func appendFrame(b []byte, kind, length uint64) []byte {
	return quicvarint.Append(quicvarint.Append(b, kind), length)
}
