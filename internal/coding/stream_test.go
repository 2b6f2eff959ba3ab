package coding

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestEncoder: any division into pieces yields the body, on each level, with flushes in between, and from an encoder that was given back
// in the middle of another body.
func TestEncoder(t *testing.T) {
	var all Encoders
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range All {
		for level := LeastLevel; level <= MostLevel; level++ {
			for size := range 6 {
				body := []byte(strings.Repeat("The quick brown fox. ", 1<<(3*size)/4))
				for i := 0; i < len(body); i += 50 {
					body[i] = byte(random.Uint32())
				}
				e := all.Get(c, level)
				var encoded []byte
				for rest := body; ; {
					n := min(random.IntN(20_000), len(rest))
					last := n == len(rest)
					encoded = append(encoded, e.Encode(rest[:n], last)...)
					if rest = rest[n:]; last {
						break
					}
					if random.IntN(3) == 0 {
						encoded = append(encoded, e.Flush()...)
					}
				}
				e.Release()
				if got := decode(t, c, encoded); !bytes.Equal(got, body) {
					t.Fatalf("%s level %d: %d bytes became %d", c.Name(), level, len(body), len(got))
				}
				half := all.Get(c, level)
				half.Encode(body, false)
				half.Release()
			}
		}
	}
	if n := all.InUse(); n != 0 {
		t.Errorf("%d encoders in use", n)
	}
}

// TestFlush: what was encoded before a flush can be decoded without what follows.
func TestFlush(t *testing.T) {
	var all Encoders
	for _, c := range All {
		e := all.Get(c, DefaultLevel)
		read, write := io.Pipe()
		decoded := make(chan byte)
		go func() {
			defer close(decoded)
			var r io.Reader
			switch c {
			case Zstd:
				d, err := zstd.NewReader(read, zstd.WithDecoderConcurrency(1))
				if err != nil {
					return
				}
				defer d.Close()
				r = d
			case Brotli:
				r = brotli.NewReader(read)
			case Gzip:
				d, err := gzip.NewReader(read)
				if err != nil {
					return
				}
				r = d
			}
			b := make([]byte, 1)
			for {
				if _, err := io.ReadFull(r, b); err != nil {
					return
				}
				decoded <- b[0]
			}
		}()
		for _, event := range []string{"data: one\n\n", "data: two\n\n"} {
			out := bytes.Clone(e.Encode([]byte(event), false))
			if !e.Held() {
				t.Errorf("%s: nothing is held", c.Name())
			}
			out = append(out, e.Flush()...)
			if e.Held() {
				t.Errorf("%s: something is held after a flush", c.Name())
			}
			go write.Write(out)
			for i := range len(event) {
				if b := <-decoded; b != event[i] {
					t.Fatalf("%s: byte %d is %q", c.Name(), i, b)
				}
			}
		}
		write.Write(bytes.Clone(e.Encode(nil, true)))
		write.Close()
		for range decoded {
			t.Errorf("%s: more than was encoded", c.Name())
		}
		e.Release()
	}
}

func TestEncodersAreBounded(t *testing.T) {
	var all Encoders
	var used []*Encoder
	for range mostEncoders {
		e := all.Get(Gzip, LeastLevel)
		if e == nil {
			t.Fatal("too few")
		}
		used = append(used, e)
	}
	if all.Get(Gzip, LeastLevel) != nil || all.Get(Zstd, LeastLevel) != nil {
		t.Error("too many")
	}
	for _, e := range used {
		e.Release()
	}
	if e := all.Get(Gzip, LeastLevel); e == nil {
		t.Error("none after all were given back")
	} else {
		e.Release()
	}
}

func BenchmarkEncode(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 32<<10; i++ {
		text.WriteString("<li class=\"item\">" + strings.Repeat(string(rune('a'+i%26)), i%7) + " number " + strings.Repeat("12", i%5) + "</li>\n")
	}
	piece := []byte(text.String()[:32<<10])
	for _, c := range All {
		b.Run(c.Name(), func(b *testing.B) {
			var all Encoders
			e := all.Get(c, DefaultLevel)
			b.SetBytes(int64(len(piece)))
			for b.Loop() {
				e.Encode(piece, false)
			}
		})
	}
}
