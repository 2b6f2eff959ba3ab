package coding

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func TestAccept(t *testing.T) {
	for field, want := range map[string]Coding{
		"":                             Identity,
		"gzip":                         Gzip,
		"x-gzip":                       Gzip,
		"GZIP":                         Gzip,
		"gzip, deflate, br, zstd":      Zstd,
		"gzip, deflate, br":            Brotli,
		"gzip;q=1.0, br;q=0.5":         Gzip,
		"br;q=0.5,gzip ; q=0.501":      Gzip,
		"br\t;\tQ=0.9 , zstd;q=0.1":    Brotli,
		"br;q=0, gzip;q=0.001":         Gzip,
		"gzip;q=0":                     Identity,
		"gzip;q=0.000":                 Identity,
		"*":                            Zstd,
		"*;q=0":                        Identity,
		"*;q=0, br":                    Brotli,
		"zstd;q=0, *":                  Brotli,
		"identity, gzip;q=0.5":         Identity,
		"identity;q=0.5, gzip;q=0.5":   Gzip,
		"identity;q=0":                 Identity, // of what is accepted nothing is known
		"identity;q=0, gzip":           Gzip,
		"deflate, compress, dcb":       Identity,
		"gzip;q=1.001":                 Identity,
		"gzip;q=0.0001":                Identity,
		"gzip;q=":                      Identity,
		"gzip;q=a":                     Identity,
		"gzip;q=.5":                    Identity,
		"gzip;q=0,5":                   Identity,
		"gzip;q=0.5;q=1":               Identity,
		"gzip;level=9":                 Identity,
		"gzip;q=-1":                    Identity,
		"gzip;q=2":                     Identity,
		"gzip;q=0.x":                   Identity,
		"gzip;q=0, gzip":               Gzip,
		",,  , gzip,":                  Gzip,
		"\x00, g\xffzip, gzi p, br br": Identity,
		"*;q=0.5, gzip;q=0.4":          Zstd,
		"gzip;q=1.":                    Gzip,
	} {
		if got := Accept([]byte(field)).Best(); got != want {
			t.Errorf("%q: %q, want %q", field, got.Name(), want.Name())
		}
	}
}

func TestAcceptAllocatesNothing(t *testing.T) {
	field := []byte("gzip, deflate, br;q=0.5, zstd;q=0.1")
	if n := testing.AllocsPerRun(100, func() { _ = Accept(field).Best() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTypes(t *testing.T) {
	types := NewTypes(DefaultTypes)
	for field, want := range map[string]bool{
		"text/html; charset=utf-8": true, "TEXT/CSS": true, "application/json": true, "application/ld+json;x": true, "image/svg+xml": true,
		"application/problem+json": true, " text/plain ": true,
		"": false, ";": false, "text/": false, "text": false, "image/png": false, "application/octet-stream": false, "application/zip": false,
		"application/grpc": false, "application/grpc+proto": false, "font/woff2": false, "+json": false, "video/mp4": false,
		strings.Repeat("a", 300) + "+json": false, "multipart/byteranges; boundary=a": false,
	} {
		if got := types.Contains([]byte(field)); got != want {
			t.Errorf("%q: %v", field, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { types.Contains([]byte("application/ld+json; charset=utf-8")) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// decode returns what was encoded.
func decode(t testing.TB, c Coding, encoded []byte) []byte {
	t.Helper()
	var r io.Reader
	switch c {
	case Zstd:
		d, err := zstd.NewReader(bytes.NewReader(encoded), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		r = d
	case Brotli:
		r = brotli.NewReader(bytes.NewReader(encoded))
	case Gzip:
		d, err := gzip.NewReader(bytes.NewReader(encoded))
		if err != nil {
			t.Fatal(err)
		}
		r = d
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v after %d bytes", c.Name(), err, len(body))
	}
	return body
}

func TestCompress(t *testing.T) {
	for _, body := range []string{"", "a", strings.Repeat("abcd ", 20), strings.Repeat("The quick brown fox. ", 20_000)} {
		for _, c := range All {
			encoded, err := Compress(c, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if got := decode(t, c, encoded); string(got) != body {
				t.Errorf("%s: %d bytes became %d", c.Name(), len(body), len(got))
			}
			if len(body) > 1000 && len(encoded) > len(body)/10 {
				t.Errorf("%s: %d bytes of %d", c.Name(), len(encoded), len(body))
			}
		}
	}
	if _, err := Compress(Identity, nil); err == nil {
		t.Error("Identity compresses")
	}
}

func FuzzAccept(f *testing.F) {
	f.Add([]byte("gzip;q=0.5, *;q=0, identity"))
	f.Fuzz(func(t *testing.T, field []byte) {
		a := Accept(field)
		for _, c := range All {
			if w := a.Weight(c); w < 0 || w > 1000 {
				t.Errorf("%q: weight %d", field, w)
			}
		}
		a.Best()
		NewTypes(DefaultTypes).Contains(field)
	})
}
