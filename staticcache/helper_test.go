package staticcache

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"lb/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// old is a modification time long before settled.
var old = time.Date(2024, 2, 29, 12, 30, 45, 123456789, time.UTC)

// response is a ResponseWriter that records.
type response struct {
	status   int
	header   textproto.MIMEHeader
	raw      string
	body     []byte
	streamed bool
	t        testing.TB
}

func (a *response) begin(status int, fields []message.Field) {
	header := lines(fields)
	if a.status != 0 {
		a.t.Error("responded twice")
	}
	a.status, a.raw, a.header = status, string(header), textproto.MIMEHeader{}
	for _, line := range strings.SplitAfter(string(header), "\r\n") {
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		if !ok || !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(value, "\r\n\x00") {
			a.t.Errorf("bad header line %q", line)
		}
		a.header.Add(name, value)
	}
}

func (a *response) Respond(status int, header []message.Field, body []byte) error {
	a.begin(status, header)
	a.body = bytes.Clone(body)
	return nil
}

func (a *response) RespondFile(status int, header []message.Field, f *os.File, offset, length int64) error {
	a.begin(status, header)
	a.streamed = true
	var b bytes.Buffer
	_, err := copyFile(&b, f, offset, length)
	a.body = b.Bytes()
	return err
}

func (a *response) RespondParts(status int, header []message.Field, length int64, f *os.File, parts []Part) error {
	a.begin(status, header)
	a.streamed = f != nil
	var b bytes.Buffer
	n, err := copyParts(&b, f, parts)
	if a.body = b.Bytes(); err == nil && n != length {
		a.t.Errorf("%d bytes announced, %d sent", length, n)
	}
	return err
}

// lines returns the fields as they go on the wire.
func lines(fields []message.Field) (all []byte) {
	for i := range fields {
		all = append(all, fields[i].Line...)
	}
	return all
}

// discard is a ResponseWriter that allocates nothing.
type discard struct {
	status int
	length int
}

func (d *discard) Respond(status int, header []message.Field, body []byte) error {
	d.status, d.length = status, len(body)
	return nil
}

func (d *discard) RespondFile(status int, _ []message.Field, f *os.File, offset, length int64) error {
	d.status = status
	_, err := copyFile(io.Discard, f, offset, length)
	return err
}

func (d *discard) RespondParts(status int, _ []message.Field, _ int64, f *os.File, parts []Part) error {
	d.status = status
	_, err := copyParts(io.Discard, f, parts)
	return err
}

// tree writes files into a new directory; a name that ends in a slash is a directory. All are dated old, and
// past the moment in which a streamed file has no entity tag.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, body := range files {
		write(t, filepath.Join(root, name), body, strings.HasSuffix(name, "/"))
	}
	written := time.Now()
	poll(t, func() bool { return time.Since(written) > grain })
	return root
}

func write(t testing.TB, path, body string, dir bool) {
	t.Helper()
	parent := filepath.Dir(path)
	if dir {
		parent = path
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	if dir {
		return
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

func newCache(memory, maxFile int64) *Cache { return New(Options{Memory: memory, MaxFile: maxFile}) }

func open(t testing.TB, c *Cache, o DirOptions) *Dir {
	t.Helper()
	d, err := c.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// get asks for a path; fields are name, value, name, value.
func get(t testing.TB, d *Dir, path string, fields ...string) (*response, Result) {
	t.Helper()
	return do(t, d, "GET", path, fields...)
}

func do(t testing.TB, d *Dir, method, path string, fields ...string) (*response, Result) {
	t.Helper()
	a := &response{t: t}
	r := &Request{Method: []byte(method), Path: []byte(path), Target: []byte(path)}
	for i := 0; i < len(fields); i += 2 {
		v := []byte(fields[i+1])
		switch fields[i] {
		case "If-Match":
			r.IfMatch = v
		case "If-None-Match":
			r.IfNoneMatch = v
		case "If-Modified-Since":
			r.IfModifiedSince = v
		case "If-Unmodified-Since":
			r.IfUnmodifiedSince = v
		case "Range":
			r.Range = v
		case "If-Range":
			r.IfRange = v
		case "Accept":
			r.Accept = v
		case "Accept-Encoding":
			r.AcceptEncoding = v
		case "Target":
			r.Target = v
		default:
			t.Fatalf("no such field %q", fields[i])
		}
	}
	result, err := d.Serve(a, r)
	if err != nil {
		t.Errorf("Serve(%s %q): %v", method, path, err)
	}
	if (result == Served) != (a.status != 0) {
		t.Errorf("%s %q: result %v, but status %d was sent", method, path, result, a.status)
	}
	return a, result
}

// want asserts that the response for a path is 200 with that body.
func want(t testing.TB, d *Dir, path, body string) *response {
	t.Helper()
	a, result := get(t, d, path)
	if result != Served || a.status != 200 || string(a.body) != body {
		t.Fatalf("GET %q: result %v, status %d, body %.60q; want 200 %.60q", path, result, a.status, a.body, body)
	}
	return a
}

// age makes all cached files due for comparison with the disk, as the clock does in time.
func age(c *Cache) { c.clock.Add(int64(recheck)) }

func decimal(n int) string { return strconv.Itoa(n) }

// parts writes a multipart body without its boundary, any other as it is.
func parts(t testing.TB, contentType string, body []byte) string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "multipart/byteranges" {
		return contentType + "\n" + string(body)
	}
	var b strings.Builder
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s %q\n", p.Header.Get("Content-Type"), p.Header.Get("Content-Range"), text)
	}
}

// poll waits until f holds.
func poll(t testing.TB, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not become true")
		}
	}
}

// copyFile writes length bytes of f from offset to dst and returns how many it wrote: by sendfile if dst
// is a *net.TCPConn or *net.UnixConn. If the file ends early the error is ErrShrunk. A caller with
// a deadline for progress copies in pieces. It moves f's offset.
func copyFile(dst io.Writer, f *os.File, offset, length int64) (int64, error) {
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return 0, fmt.Errorf("cannot read %q: %w", f.Name(), err)
	}
	n, err := io.Copy(dst, &io.LimitedReader{R: f, N: length})
	if err == nil && n < length {
		err = ErrShrunk
	}
	return n, err
}

// copyParts writes parts of f to dst and returns how many bytes it wrote; f is nil if no part has a Length.
func copyParts(dst io.Writer, f *os.File, parts []Part) (int64, error) {
	var written int64
	for _, p := range parts {
		n, err := dst.Write(p.Bytes)
		written += int64(n)
		if err != nil {
			return written, err
		}
		if p.Length == 0 {
			continue
		}
		m, err := copyFile(dst, f, p.Offset, p.Length)
		written += m
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
