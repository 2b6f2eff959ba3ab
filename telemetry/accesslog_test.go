package telemetry

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func exampleEntry() *Entry {
	return &Entry{
		Time: time.Date(2026, 2, 3, 4, 5, 6, 7_890_000, time.FixedZone("", 3600)), Client: netip.MustParseAddr("192.0.2.7"),
		Site: "clock", Route: "/", Pool: "app", Backend: "127.0.0.1:5000",
		Method: []byte("GET"), Host: []byte("clock.example.com"), Target: []byte("/a?b=c"), Protocol: "HTTP/1.1",
		Status: 200, BytesIn: 3, BytesOut: 1234, Duration: 12345678 * time.Nanosecond, Upstream: 11 * time.Millisecond,
		Tries: 2, RequestID: []byte("0123456789abcdef"), Referer: []byte("https://example.org/"),
		UserAgent: []byte(`curl/8 "x"`), TLS: "TLSv1.3", Error: "",
	}
}

// started returns a running log to a file, and a func that stops it and returns the file's lines.
func started(t *testing.T, o AccessLogOptions) (*AccessLog, func() []string) {
	t.Helper()
	if o.File == "" {
		o.File = filepath.Join(t.TempDir(), "access.log")
	}
	l, err := NewAccessLog(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Start(ctx)
	var once sync.Once
	stop := func() []string {
		once.Do(func() {
			cancel()
			if err := l.Wait(); err != nil {
				t.Error(err)
			}
		})
		return readLines(t, o.File)
	}
	t.Cleanup(func() { stop() })
	return l, stop
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) == 0 {
		return nil
	}
	if text[len(text)-1] != '\n' {
		t.Errorf("%s ends in the midst of a line", path)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

func TestAccessLogLines(t *testing.T) {
	jsonLine := `{"time":"2026-02-03T04:05:06.007+01:00","client":"192.0.2.7","request_id":"0123456789abcdef",` +
		`"site":"clock","route":"/","pool":"app","backend":"127.0.0.1:5000","method":"GET","host":"clock.example.com",` +
		`"target":"/a?b=c","protocol":"HTTP/1.1","status":200,"bytes_in":3,"bytes_out":1234,"duration_ms":12.345,` +
		`"upstream_ms":11.000,"tries":2,"referer":"https://example.org/","user_agent":"curl/8 \"x\"","tls":"TLSv1.3"}`
	combined := `192.0.2.7 - - [03/Feb/2026:04:05:06 +0100] "GET /a?b=c HTTP/1.1" 200 1234 "https://example.org/" "curl/8 \x22x\x22"`
	for format, want := range map[string]string{"": jsonLine, "json": jsonLine, "combined": combined} {
		l, stop := started(t, AccessLogOptions{Format: format, Sample: 1})
		l.Write(exampleEntry())
		if got := stop(); len(got) != 1 || got[0] != want {
			t.Errorf("%q: got\n%s\nwant\n%s", format, strings.Join(got, "\n"), want)
		}
	}
}

func TestAccessLogMinimalEntry(t *testing.T) {
	e := &Entry{Time: time.Unix(0, 0).UTC(), Status: 400, Error: "bad request"}
	if got, want := string(appendJSON(nil, e)), `{"time":"1970-01-01T00:00:00.000Z","client":"-","status":400,"bytes_in":0,"bytes_out":0,"duration_ms":0.000,"error":"bad request"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if got, want := string(appendCombined(nil, e)), `- - - [01/Jan/1970:00:00:00 +0000] "-" 400 0 "-" "-"`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

func TestJSONStrings(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 `""`,
		"plain":                            `"plain"`,
		`a"b\c`:                            `"a\"b\\c"`,
		"a\nb\rc\x00":                      `"a\u000ab\u000dc\u0000"`,
		"\x1b[31m\x7f":                     `"\u001b[31m\u007f"`,
		"ünï→😀":                            `"ünï→😀"`,
		"\xff\xc3":                         `"\ufffd\ufffd"`,
		"a\xe2\x80":                        `"a\ufffd\ufffd"`,
		"\u0085\u2028\u2029":               `"\u0085\u2028\u2029"`,
		"\ufffd":                           "\"\ufffd\"",
		"\xed\xa0\x80":                     `"\ufffd\ufffd\ufffd"`, // a surrogate half
		"\n" + `{"time":"2026","forged":1`: `"\u000a{\"time\":\"2026\",\"forged\":1"`,
	} {
		if got := `"` + string(appendJSONString(nil, in)) + `"`; got != want {
			t.Errorf("%q: got %s want %s", in, got, want)
		}
	}
}

// Whatever bytes a client sends, an entry is one line: valid JSON with the same text in it.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a\nb"), []byte(`x"\`), []byte("\xff\x00"), int64(-1), 0)
	f.Add([]byte(""), []byte("\u2028\u0085"), []byte("\xed\xa0\x80"), []byte("\xf0\x9f\x98"), int64(1<<62), 1000)
	f.Fuzz(func(t *testing.T, method, target, agent, id []byte, n int64, status int) {
		e := &Entry{Method: method, Target: target, UserAgent: agent, RequestID: id, Referer: agent, Host: target,
			Error: string(agent), Site: string(id), Status: status, BytesIn: n, Duration: time.Duration(n), Upstream: time.Duration(n)}
		line := appendJSON(nil, e)
		if bytes.IndexFunc(line[:len(line)-1], isLineEnd) >= 0 || line[len(line)-1] != '\n' {
			t.Fatalf("no single line: %q", line)
		}
		var got struct {
			Method, Target string
			Agent          string `json:"user_agent"`
			Status         int
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		// encoding/json writes invalid bytes as U+FFFD too: what it reads back is the measure.
		for _, c := range []struct {
			in  []byte
			out string
		}{{method, got.Method}, {target, got.Target}, {agent, got.Agent}} {
			text, _ := json.Marshal(string(c.in))
			var want string
			json.Unmarshal(text, &want)
			if c.out != want {
				t.Fatalf("%q became %q", c.in, c.out)
			}
		}
		line = appendCombined(nil, e)
		for _, c := range line[:len(line)-1] {
			if c < ' ' || c > '~' {
				t.Fatalf("no printable line: %q", line)
			}
		}
		if bytes.Count(line, []byte{'"'}) != 6 {
			t.Fatalf("a client's quote in %q", line)
		}
	})
}

func isLineEnd(r rune) bool { return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 }

func TestAccessLogSample(t *testing.T) {
	l, stop := started(t, AccessLogOptions{Sample: 0})
	for status := 100; status < 600; status += 100 {
		e := exampleEntry()
		e.Status = status
		l.Write(e)
	}
	if got := stop(); len(got) != 1 || !strings.Contains(got[0], `"status":500`) {
		t.Errorf("share 0: %q", got)
	}

	dropped := new(Counter)
	l, stop = started(t, AccessLogOptions{Sample: 0.25, Dropped: dropped})
	for range 4000 {
		l.Write(exampleEntry())
	}
	// 1000 expected, with a standard deviation of 27.
	if n := len(stop()); n < 750 || n > 1250 {
		t.Errorf("%d of 4000 lines at a share of 0.25", n)
	}
	if dropped.Get() != 0 {
		t.Errorf("%d lines left out on purpose count as dropped", dropped.Get())
	}
}

func TestAccessLogConcurrentWriters(t *testing.T) {
	dropped := new(Counter)
	l, stop := started(t, AccessLogOptions{Sample: 1, Dropped: dropped})
	const writers, each = 8, 3000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			e := exampleEntry()
			for i := range each {
				e.RequestID = fmt.Appendf(e.RequestID[:0], "%d-%d-%s", w, i, strings.Repeat("x", i%1500))
				l.Write(e)
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, line := range stop() {
		var got struct {
			ID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if seen[got.ID] {
			t.Errorf("twice: %.20s", got.ID)
		}
		seen[got.ID] = true
	}
	if len(seen)+int(dropped.Get()) != writers*each {
		t.Errorf("%d lines and %d dropped of %d", len(seen), dropped.Get(), writers*each)
	}
}

// No line is lost uncounted while the log stops.
func TestAccessLogWritersAtStop(t *testing.T) {
	dropped := new(Counter)
	l, stop := started(t, AccessLogOptions{Sample: 1, Dropped: dropped})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			e := exampleEntry()
			for range 2000 {
				l.Write(e)
			}
		})
	}
	lines := len(stop())
	wg.Wait()
	if lines+int(dropped.Get()) != 8000 {
		t.Errorf("%d lines and %d dropped of 8000", lines, dropped.Get())
	}
}

func TestAccessLogAppearsSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, _ := started(t, AccessLogOptions{Sample: 1, File: path})
	for i := range 3 { // from idle, and again
		l.Write(exampleEntry())
		eventually(t, "a line in the file", func() bool { return len(readLines(t, path)) == i+1 })
		eventually(t, "an idle writer", l.idle.Load)
	}
}

func TestAccessLogReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, stop := started(t, AccessLogOptions{Sample: 1, File: path})
	l.Write(exampleEntry())
	eventually(t, "the first line", func() bool { return len(readLines(t, path)) == 1 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Write(exampleEntry())
	eventually(t, "the second line", func() bool { return len(readLines(t, path)) == 1 })
	if n := len(readLines(t, path+".1")); n != 1 {
		t.Errorf("%d lines in the old file", n)
	}

	// A directory that is gone: the old file stays in use.
	if err := os.Rename(filepath.Dir(path), filepath.Dir(path)+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	l.Write(exampleEntry())
	moved := filepath.Join(filepath.Dir(path)+".moved", "access.log")
	eventually(t, "the third line", func() bool { return len(readLines(t, moved)) == 2 })
	if err := os.Rename(filepath.Dir(path)+".moved", filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := l.Reopen(); err != nil { // after the end: nothing stays open
		t.Error(err)
	}
	if l.reopened.Load() != nil {
		t.Error("a file is left open")
	}
}

// pipe returns a path that takes nothing once its 64 KiB are full, and its reading end.
func pipe(t *testing.T) (string, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return path, r
}

// A pipe that nobody reads: Write returns, what is too much is dropped and counted, stopping ends.
func TestAccessLogStuckPipe(t *testing.T) {
	path, r := pipe(t)
	dropped := new(Counter)
	l, err := NewAccessLog(AccessLogOptions{Sample: 1, File: path, Dropped: dropped})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.Start(ctx)
	e := exampleEntry()
	n := 0
	for ; dropped.Get() == 0; n++ {
		l.Write(e)
	}
	for range 100 {
		l.Write(e)
		n++
	}
	if dropped.Get() < 100 {
		t.Errorf("%d dropped", dropped.Get())
	}
	// What the pipe took is whole lines once it is read again.
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(r).ReadString('\n')
		line <- text
	}()
	if first := <-line; !json.Valid([]byte(first)) {
		t.Errorf("first line %q", first)
	}
	cancel()
	if err := l.Wait(); err != nil {
		t.Error(err)
	}
	if uint64(n) < dropped.Get() {
		t.Errorf("%d dropped of %d", dropped.Get(), n)
	}
	before := dropped.Get()
	l.Write(e)
	if dropped.Get() != before+1 {
		t.Error("a line after the end is not counted")
	}
}

func TestAccessLogFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	var told bytes.Buffer
	dropped := new(Counter)
	l, err := NewAccessLog(AccessLogOptions{Sample: 1, File: "/dev/full", Dropped: dropped,
		Log: hclog.New(&hclog.LoggerOptions{Output: &told})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.Start(ctx)
	for i := range 3 {
		l.Write(exampleEntry())
		eventually(t, "a counted loss", func() bool { return dropped.Get() == uint64(i)+1 })
	}
	cancel()
	if err := l.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Count(told.String(), "cannot write the access log") != 1 || !strings.Contains(told.String(), "/dev/full") {
		t.Errorf("told: %s", told.String())
	}
}

// After a write that failed in the midst of a line, the next line stands alone.
func TestAccessLogTornLine(t *testing.T) {
	path, r := pipe(t)
	l, err := NewAccessLog(AccessLogOptions{Sample: 1, File: path})
	if err != nil {
		t.Fatal(err)
	}
	f := l.file.Load()
	f.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	l.writeBatch(bytes.Repeat([]byte("0123456\n012\n"), 20000)) // more than a pipe holds
	if l.dropped.Get() == 0 {
		t.Fatal("nothing was dropped")
	}
	f.SetWriteDeadline(time.Time{})
	l.torn = true // where the pipe cut is the kernel's choice
	read := make(chan []byte)
	go func() {
		var text []byte
		chunk := make([]byte, 1<<16)
		for !bytes.HasSuffix(text, []byte("\nlast\n")) {
			n, err := r.Read(chunk)
			if err != nil {
				break
			}
			text = append(text, chunk[:n]...)
		}
		read <- text
	}()
	l.writeBatch([]byte("last\n"))
	if text := <-read; !bytes.HasSuffix(text, []byte("\nlast\n")) {
		t.Errorf("the end is %q", text[max(0, len(text)-20):])
	}
	f.Close()
}

func TestAccessLogErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "access.log")
	if _, err := NewAccessLog(AccessLogOptions{File: missing}); err == nil || !strings.Contains(err.Error(), `cannot open log file "`+missing) {
		t.Errorf("missing directory: %v", err)
	}
	if _, err := NewAccessLog(AccessLogOptions{Format: "xml"}); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Errorf("unknown format: %v", err)
	}
	fifo := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewAccessLog(AccessLogOptions{File: fifo}); err == nil {
		t.Error("a pipe without a reader was opened")
	}
}

func TestNilAccessLog(t *testing.T) {
	var l *AccessLog
	l.Write(exampleEntry())
	l.Start(t.Context())
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if err := l.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAccessLogWriteAllocatesNothing(t *testing.T) {
	for _, format := range []string{"json", "combined"} {
		l, _ := started(t, AccessLogOptions{Format: format, Sample: 1})
		e := exampleEntry()
		if n := testing.AllocsPerRun(2*ringSlots, func() { l.Write(e) }); n != 0 {
			t.Errorf("%s: %v allocations", format, n)
		}
	}
}

func BenchmarkAccessLogWrite(b *testing.B) {
	l, err := NewAccessLog(AccessLogOptions{Sample: 1, File: filepath.Join(b.TempDir(), "access.log")})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	l.Start(ctx)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		e := exampleEntry()
		for p.Next() {
			l.Write(e)
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(l.dropped.Get())/float64(b.N), "dropped/op")
	cancel()
	l.Wait()
}
