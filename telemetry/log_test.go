package telemetry

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestLogFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lb.log")
	l, err := NewLogger(LogOptions{File: path, Level: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	l.Trace("not this")
	l.Named("pool").Debug("backend down", "backend", "127.0.0.1:5000", "reason", "two words\nforged")
	l.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d) \[DEBUG\] lb\.pool: backend down: backend=127\.0\.0\.1:5000\n  reason=\n  \| two words\n  \| forged\n  \n$`)
	if !want.Match(text) {
		t.Errorf("got %q", text)
	}

	path += ".json"
	if l, err = NewLogger(LogOptions{File: path, Format: "json"}); err != nil {
		t.Fatal(err)
	}
	l.Debug("not this")
	l.Info("started", "port", 80)
	l.Close()
	if text, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil || got["@message"] != "started" || got["@level"] != "info" || got["port"] != 80.0 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestLogReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lb.log")
	l, err := NewLogger(LogOptions{File: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sub := l.Named("sub") // made before the file changes
	sub.Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	sub.Info("two")
	for file, want := range map[string]string{path + ".1": "one", path: "two"} {
		if lines := readLines(t, file); len(lines) != 1 || !strings.HasSuffix(lines[0], want) {
			t.Errorf("%s: %q", file, lines)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestLogErrors(t *testing.T) {
	for _, o := range []LogOptions{{Level: "loud"}, {Format: "xml"}, {File: filepath.Join(t.TempDir(), "missing", "x")}} {
		if l, err := NewLogger(o); err == nil {
			l.Close()
			t.Errorf("%+v: no error", o)
		} else if !strings.HasPrefix(err.Error(), "cannot ") {
			t.Error(err)
		}
	}
	l, err := NewLogger(LogOptions{File: "-"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
