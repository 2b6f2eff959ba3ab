package staticcache

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lb/message"
)

// wire is a ResponseWriter over a connection.
type wire struct{ net.Conn }

func (w wire) head(status int, header []message.Field) error {
	_, err := fmt.Fprintf(w.Conn, "HTTP/1.1 %d %s\r\n%s\r\n", status, http.StatusText(status), lines(header))
	return err
}

func (w wire) Respond(status int, header []message.Field, body []byte) error {
	if err := w.head(status, header); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func (w wire) RespondFile(status int, header []message.Field, f *os.File, offset, length int64) error {
	if err := w.head(status, header); err != nil {
		return err
	}
	_, err := copyFile(w.Conn, f, offset, length)
	return err
}

func (w wire) RespondParts(status int, header []message.Field, _ int64, f *os.File, parts []Part) error {
	if err := w.head(status, header); err != nil {
		return err
	}
	_, err := copyParts(w.Conn, f, parts)
	return err
}

// serve responds to requests on one connection until it ends or a response fails.
func serve(d *Dir, conn net.Conn) {
	defer conn.Close()
	for r := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		field := func(name string) []byte { return []byte(strings.Join(req.Header.Values(name), ",")) }
		result, err := d.Serve(wire{conn}, &Request{Method: []byte(req.Method), Path: []byte(req.URL.Path), Target: []byte(req.RequestURI),
			IfNoneMatch: field("If-None-Match"), Range: field("Range"), IfRange: field("If-Range")})
		if err != nil {
			return
		}
		if result != Served {
			fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", result.Status())
		}
	}
}

// start serves a Dir on a port and returns its URL.
func start(t *testing.T, d *Dir) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(d, conn) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

// Responses of every kind one after the other on one connection: each ends where its header says.
func TestKeptConnection(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	root := tree(t, map[string]string{"large": string(large), "small.txt": "small", "d/": ""})
	c := newCache(1<<20, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	c.Start(ctx)
	defer c.Wait()
	defer cancel()
	base := start(t, open(t, c, DirOptions{Root: root}))
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	connections := 0
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		connections++
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	for round := range 2 {
		for _, s := range []struct {
			method, path, field string
			status              int
			body                []byte
		}{
			{"GET", "/small.txt", "", 200, []byte("small")},
			{"HEAD", "/small.txt", "", 200, nil},
			{"GET", "/large", "", 200, large},
			{"HEAD", "/large", "", 200, nil},
			{"GET", "/large", "bytes=1000000-9000000", 206, large[1000000:9000001]},
			{"GET", "/large", "bytes=-5", 206, large[len(large)-5:]},
			{"GET", "/large", "bytes=99999999-", 416, nil},
			{"GET", "/small.txt", "bytes=1-2", 206, []byte("ma")},
			{"GET", "/d", "", 301, nil},
			{"GET", "/none", "", 404, nil},
			{"GET", "/large", "bytes=0-1,5000000-5009999", 206, nil},
			{"GET", "/small.txt", "bytes=0-0,2-2", 206, nil},
			{"GET", "/small.txt", "", 200, []byte("small")},
		} {
			req, err := http.NewRequest(s.method, base+s.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if s.field != "" {
				req.Header.Set("Range", s.field)
			}
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%d: %s %s %s: %v", round, s.method, s.path, s.field, err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			multipart := strings.HasPrefix(res.Header.Get("Content-Type"), "multipart/")
			if err != nil || res.StatusCode != s.status || !multipart && !bytes.Equal(body, s.body) {
				t.Errorf("%s %s %s: %d, %d bytes, %v", s.method, s.path, s.field, res.StatusCode, len(body), err)
			}
			if multipart && s.path == "/large" && !strings.Contains(parts(t, res.Header.Get("Content-Type"), body), string(large[5000000:5010000])) {
				t.Errorf("%s: the part is not in the body", s.field)
			}
		}
	}
	if connections != 1 {
		t.Errorf("%d connections: a response did not end where its header says", connections)
	}
}

// The connection ends if a file is truncated while it is sent, so that the client notices.
func TestShrinkingFileEndsTheConnection(t *testing.T) {
	root := tree(t, map[string]string{"f": ""})
	path := filepath.Join(root, "f")
	if err := os.Truncate(path, 256<<20); err != nil { // more than socket buffers hold
		t.Fatal(err)
	}
	base := start(t, open(t, newCache(0, 0), DirOptions{Root: root}))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest("GET", base+"/f", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); err != io.ErrUnexpectedEOF || n >= 256<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
