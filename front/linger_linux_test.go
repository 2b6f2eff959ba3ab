package front

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// TestLingersParked: a client that was refused and neither closes nor sends anything has no goroutine, gets its answer
// whole whatever it sends before it reads that, and is cut when it has been silent for a while, or when everything ends.
func TestLingersParked(t *testing.T) {
	bad := "GET / HTTP/1.1\r\n\r\n" // without Host
	for _, secure := range []bool{false, true} {
		f := start(t, Options{Listeners: oneListener(t, secure)})
		c := dialMaybeTLS(t, f, secure)
		c.send(bad)
		for range 3 {
			parkedAre(t, f, 1)
			c.send(strings.Repeat("x", 10<<10))
		}
		answer, err := io.ReadAll(c.r)
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || !bytes.HasSuffix(answer, []byte("\n")) {
			t.Errorf("%q, %v", answer, err)
		}
		c.Close()
		eventually(t, func() bool { return f.Load().Open == 0 })

		c = dialMaybeTLS(t, f, secure)
		c.send(bad)
		parkedAre(t, f, 1)
		if load := f.Load(); load.Slow != 1 {
			t.Errorf("%+v", load)
		}
		eventually(t, func() bool { return f.Load().Open == 0 }) // lingerIdle

		c = dialMaybeTLS(t, f, secure)
		c.send(bad)
		parkedAre(t, f, 1)
		shutdown(t, f)
	}
}

// TestLingersAwake: a connection that lingers and cannot be parked is waited for in a goroutine, which can still be told
// that everything ends.
func TestLingersAwake(t *testing.T) {
	f := start(t, Options{})
	first := dial(t, f)
	parkedAre(t, f, 1)
	f.parking.watch.file.Close() // from now on there is nothing to watch by
	first.Close()
	c := dial(t, f)
	c.send("GET / HTTP/1.1\r\n\r\n")
	eventually(t, func() bool {
		lingers := false
		f.each(func(c *Conn) { lingers = lingers || c.phase.Load() == lingering })
		return lingers && parkings(f) == 2
	})
	shutdown(t, f)
	answer, err := io.ReadAll(c.r)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) {
		t.Errorf("%q, %v", answer, err)
	}
}
