package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lb/pool"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace replaces path by a file with the text atomically, by a rename.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// awaitLine returns the n-th log line, from 1, once it is there.
func awaitLine(t *testing.T, l *logBuffer, n int) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if lines := l.lines(); len(lines) >= n && lines[n-1] != "" {
			return lines[n-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %d. log line within 10s: %q", n, l.lines())
		}
	}
}

func TestFileFollowsEachWayToWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.backends")
	write(t, path, "b:1\na:1 weight=3 # the large one\n")
	updates, _ := follow(t, NewFile(FileOptions{Path: path}))
	expect(t, updates, "a:1 weight=3, b:1")

	replace(t, path, "c:1\n")
	expect(t, updates, "c:1")
	write(t, path, "c:1\nd:1 backup\n")
	expect(t, updates, "c:1, d:1 backup")

	replace(t, path, "# another order, the same backends\nd:1 backup\nc:1\n") // no update
	replace(t, path, "")
	expect(t, updates, "")
}

// TestFileWrittenInPlaceIsNotReadHalf: each part is a valid file, but only the complete one may be used.
func TestFileWrittenInPlaceIsNotReadHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "app.backends")
		write(t, path, "a:1\n")
		var updates []string
		p := publisher{update: func(members []pool.Member) { updates = append(updates, words(members)) }}
		f := NewFile(FileOptions{Path: path})
		f.load(&p)
		f.seen = f.read
		for _, text := range []string{"", "a:12", "a:1234\nb", "a:1234\nb:1\n"} {
			write(t, path, text)
			if f.look(&p) {
				t.Errorf("%q was not waited for", text)
			}
			time.Sleep(settleTime - 1)
			if f.look(&p) {
				t.Errorf("%q was not waited for long enough", text)
			}
		}
		time.Sleep(time.Nanosecond)
		if !f.look(&p) {
			t.Error("a file that stays the same must be read")
		}
		if got := strings.Join(updates, "; "); got != "a:1; a:1234, b:1" {
			t.Errorf("updates %q", got)
		}
	})
}

// TestFileSymlinkSwap: mounted configurations change by a symbolic link to another directory.
func TestFileSymlinkSwap(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "app"), version+":1\n")
	}
	point := func(to string) {
		t.Helper()
		link := filepath.Join(dir, "current")
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	point("one")
	updates, _ := follow(t, NewFile(FileOptions{Path: filepath.Join(dir, "current", "app")}))
	expect(t, updates, "one:1")
	point("two")
	expect(t, updates, "two:1")
}

// TestFileMissingAtFirst: neither the file nor its directory exists, and both are found when they are created,
// without a watch.
func TestFileMissingAtFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "app.backends")
	log, lines := logger()
	updates, _ := follow(t, NewFile(FileOptions{Path: path, Log: log}))
	if line := awaitLine(t, lines, 1); !strings.Contains(line, "app.backends\" does not exist") {
		t.Errorf("log %q", line)
	}
	expectNone(t, updates)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, "a:1\n")
	expect(t, updates, "a:1")
	if line := awaitLine(t, lines, 2); !strings.Contains(line, "valid again") {
		t.Errorf("log %q", line)
	}
}

// TestFileKeepsTheLastGoodSet: a broken line and a removed file change nothing but the log.
func TestFileKeepsTheLastGoodSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.backends")
	write(t, path, "a:1\n")
	log, lines := logger()
	updates, _ := follow(t, NewFile(FileOptions{Path: path, Log: log}))
	expect(t, updates, "a:1")

	replace(t, path, "a:1\nb:1 wieght=2\n")
	want := path + `:2: "wieght=2" is not valid; write weight=N, max_conns=N or backup after the address; keeping the last valid set`
	if line := awaitLine(t, lines, 1); !strings.Contains(line, want) {
		t.Errorf("log %q, want %q", line, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if line := awaitLine(t, lines, 2); !strings.Contains(line, "app.backends\" does not exist") || !strings.Contains(line, "keeping the last valid set") {
		t.Errorf("log %q", line)
	}
	expectNone(t, updates)
	write(t, path, "b:1\n")
	expect(t, updates, "b:1")
	if n := len(lines.lines()); n > 3 {
		t.Errorf("%d log lines, want 3: %q", n, lines.lines())
	}
}
