package http1

import (
	"bytes"
	"errors"
	"math"

	"lb/message"
)

// ErrChunk is returned for a chunked body that does not conform to RFC 9112 section 7.1.
var ErrChunk = errors.New("malformed chunked body")

const (
	maxChunkExtension = 256       // bytes of one chunk-size line after the size
	maxTrailer        = 16 * 1024 // bytes of the trailer section
)

// ErrTrailerFields is returned for a trailer section with more fields than allowed.
var ErrTrailerFields = errors.New("the trailer section has more fields than allowed")

// MaxResponseFields is the maximum number of fields in the head of a response, and in its trailer section.
const MaxResponseFields = 1000

// ChunkDecoder extracts the payload of a chunked body that arrives in pieces of any size. The zero value is ready for the first
// chunk, and allows MaxResponseFields trailer fields.
type ChunkDecoder struct {
	state   chunkState
	digits  uint8 // of the chunk's size
	lineLen int16 // of its extension, or of the current line of the trailer section
	fields  int16 // trailer fields so far
	most    int16 // limit of fields; 0: MaxResponseFields
	left    int64 // bytes of the chunk's data still to come
	trailer []byte
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer
	chunkTrailerLF
	chunkDone
)

// Done reports whether the whole body, its trailer section included, has been read.
func (d *ChunkDecoder) Done() bool { return d.state == chunkDone }

// Trailer returns the trailer fields' lines, each with its CRLF, once Done. Empty if there are none.
func (d *ChunkDecoder) Trailer() []byte { return d.trailer }

// Reset prepares the decoder for another body, whose trailer section may have up to maxFields fields; 0: MaxResponseFields.
func (d *ChunkDecoder) Reset(maxFields int) {
	*d = ChunkDecoder{trailer: d.trailer[:0], most: int16(min(maxFields, math.MaxInt16))}
}

// Decode moves the payload in b to b's start. It returns the number of payload bytes and how many bytes of b were read: fewer than
// len(b) only when Done, and then the rest is not part of this body.
func (d *ChunkDecoder) Decode(b []byte) (payload, read int, err error) {
	for read < len(b) && d.state != chunkDone {
		if d.state == chunkData {
			n := int(min(d.left, int64(len(b)-read)))
			copy(b[payload:], b[read:read+n])
			payload += n
			read += n
			if d.left -= int64(n); d.left == 0 {
				d.state = chunkDataCR
			}
			continue
		}
		if err := d.step(b[read]); err != nil {
			return payload, read, err
		}
		read++
	}
	return payload, read, nil
}

// step handles one byte outside of a chunk's data.
func (d *ChunkDecoder) step(c byte) error {
	switch d.state {
	case chunkSize:
		return d.sizeByte(c)
	case chunkExtension:
		if c == '\r' {
			d.state = chunkSizeLF
		} else if d.lineLen++; d.lineLen > maxChunkExtension || !message.IsValueByte(c) {
			return ErrChunk
		}
	case chunkSizeLF:
		if c != '\n' {
			return ErrChunk
		}
		d.digits, d.lineLen = 0, 0
		d.state = chunkData
		if d.left == 0 {
			d.state = chunkTrailer
		}
	case chunkDataCR:
		if c != '\r' {
			return ErrChunk
		}
		d.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return ErrChunk
		}
		d.state = chunkSize
	case chunkTrailer, chunkTrailerLF:
		return d.trailerByte(c)
	}
	return nil
}

// sizeByte handles one byte of a chunk-size: 1 to 15 hexadecimal digits, then an extension or the line's end.
func (d *ChunkDecoder) sizeByte(c byte) error {
	var v byte
	switch {
	case '0' <= c && c <= '9':
		v = c - '0'
	case 'a' <= c && c <= 'f':
		v = c - 'a' + 10
	case 'A' <= c && c <= 'F':
		v = c - 'A' + 10
	case c == '\r' && d.digits > 0:
		d.state = chunkSizeLF
		return nil
	case c == ';' && d.digits > 0:
		d.state = chunkExtension
		return nil
	default:
		return ErrChunk
	}
	if d.digits++; d.digits > 15 {
		return ErrChunk
	}
	d.left = d.left<<4 | int64(v)
	return nil
}

func (d *ChunkDecoder) trailerByte(c byte) error {
	if d.state == chunkTrailerLF {
		if c != '\n' {
			return ErrChunk
		}
		if d.lineLen == 0 {
			d.state = chunkDone
			return nil
		}
		d.trailer = append(d.trailer, '\r', '\n')
		d.state, d.lineLen = chunkTrailer, 0
		if d.fields++; d.fields > d.most && (d.most > 0 || d.fields > MaxResponseFields) {
			return ErrTrailerFields
		}
		return nil
	}
	if c == '\r' {
		if line := d.trailer[len(d.trailer)-int(d.lineLen):]; len(line) > 0 && !message.IsToken(line[:max(0, bytes.IndexByte(line, ':'))]) {
			return ErrChunk // not a field: a parser without support for trailers might interpret it as a request
		}
		d.state = chunkTrailerLF
		return nil
	}
	if !message.IsValueByte(c) || len(d.trailer) >= maxTrailer {
		return ErrChunk
	}
	d.lineLen++
	d.trailer = append(d.trailer, c)
	return nil
}
