package coding

import (
	"bytes"
	"fmt"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// MostWhole is the largest body, in bytes, that Compress should get: it takes up to a second for it.
	MostWhole = 16 << 20

	// bestBrotli is the largest body, in bytes, that is compressed with Brotli's highest quality, at about 2 MB a second. Larger ones are
	// compressed with quality 9, at about 20 MB a second.
	bestBrotli = 256 << 10

	// wholeWindow is the window of zstd, in bytes. Browsers refuse more than 8 MiB (RFC 9659).
	wholeWindow = 4 << 20
)

// Compress returns a body with the coding applied as well as it can be in acceptable time, which is too long for an event loop.
func Compress(c Coding, body []byte) ([]byte, error) {
	var b bytes.Buffer
	switch c {
	case Zstd:
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
			zstd.WithWindowSize(wholeWindow))
		if err != nil {
			return nil, err
		}
		defer w.Close()
		return w.EncodeAll(body, make([]byte, 0, len(body)/4)), nil
	case Brotli:
		quality := 9
		if len(body) <= bestBrotli {
			quality = brotli.BestCompression
		}
		w := brotli.NewWriterLevel(&b, quality)
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
		err := w.Close()
		return b.Bytes(), err
	case Gzip:
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
		err = w.Close()
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("there is no coding %d", c)
}
