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
		Status: 200, GRPC: "5", BytesIn: 3, BytesOut: 1234, Duration: 12345678 * time.Nanosecond, Upstream: 11 * time.Millisecond,
		Tries: 2, RequestID: []byte("0123456789abcdef"), User: "jo ann", Referer: []byte("https://example.org/"),
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
		`"user":"jo ann","site":"clock","route":"/","pool":"app","backend":"127.0.0.1:5000","method":"GET","host":"clock.example.com",` +
		`"target":"/a?b=c","protocol":"HTTP/1.1","status":200,"grpc_status":5,"bytes_in":3,"bytes_out":1234,"duration_ms":12.345,` +
		`"upstream_ms":11.000,"tries":2,"referer":"https://example.org/","user_agent":"curl/8 \"x\"","tls":"TLSv1.3"}`
	combined := `192.0.2.7 - jo+ann [03/Feb/2026:04:05:06 +0100] "GET /a?b=c HTTP/1.1" 200 1234 "https://example.org/" "curl/8 \x22x\x22"`
	for format, want := range map[string]string{"": jsonLine, "json": jsonLine, "combined": combined} {
		l, stop := started(t, AccessLogOptions{Format: format, Sample: 1})
		l.Write(exampleEntry())
		if got := stop(); len(got) != 1 || got[0] != want {
			t.Errorf("%q: got\n%s\nwant\n%s", format, strings.Join(got, "\n"), want)
		}
	}
}

func TestAccessLogSample(t *testing.T) {
	l, stop := started(t, AccessLogOptions{Sample: 0})
	for status := 100; status < 600; status += 100 {
		e := exampleEntry()
		e.Status, e.Error = status, ""
		l.Write(e)
	}
	if got := stop(); len(got) != 1 || !strings.Contains(got[0], `"status":500`) {
		t.Errorf("share 0: %q", got)
	}
	l, stop = started(t, AccessLogOptions{Sample: 0})
	e := exampleEntry()
	e.Status, e.Error = 200, "the backend broke off"
	l.Write(e)
	if got := stop(); len(got) != 1 || !strings.Contains(got[0], "broke off") {
		t.Errorf("share 0, with an error: %q", got)
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

	// The directory does not exist: the old file stays in use.
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
	if err := l.Reopen(); err != nil { // after Close: no file stays open
		t.Error(err)
	}
	if l.reopened.Load() != nil {
		t.Error("a file is left open")
	}
}

// pipe returns a path that blocks writers after 64 KiB, and its reading end.
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

// A pipe without a reader: Write returns, excess lines are dropped and counted, and stopping ends.
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
	// The pipe contains only whole lines.
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
	var logged bytes.Buffer
	dropped := new(Counter)
	l, err := NewAccessLog(AccessLogOptions{Sample: 1, File: "/dev/full", Dropped: dropped,
		Log: hclog.New(&hclog.LoggerOptions{Output: &logged})})
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
	if strings.Count(logged.String(), "cannot write the access log") != 1 || !strings.Contains(logged.String(), "/dev/full") {
		t.Errorf("logged: %s", logged.String())
	}
}

// After a write that failed within a line, the next line starts a new line.
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
