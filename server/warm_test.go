package server_test

import (
	"os"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// TestWarmUp: the files of a directory come into memory without a request, as far as they fit, and the log says how it ended.
func TestWarmUp(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.txt": "aaa", "d/b.txt": "bb", ".hidden": "h", "large": strings.Repeat("x", 2000)})
	other := writeFiles(t, map[string]string{"c": strings.Repeat("c", 900), "d": strings.Repeat("d", 900), "e": strings.Repeat("e", 900)})
	text := func(more string) string {
		return "static_cache {\n  memory = \"6KiB\"\n  max_file = \"1KiB\"\n}\nsite \"s\" {\n  route \"/\" {\n    static {\n      root = \"" + dir +
			"\"\n      warm_up = true\n    }\n  }\n" + more + "}\n"
	}
	lb := start(t, text(""))
	lb.wantMetric("lb_static_cache_files", "2")
	lb.wantMetric("lb_static_cache_bytes", "5")
	lbtest.Eventually(t, "it is warm", func() bool { return strings.Contains(lb.read("lb.log"), "warmed up: root="+dir+" files=2 bytes=5") })
	if err := lb.reload(text("  route \"/o/\" {\n    static {\n      root = \"" + other + "\"\n      warm_up = true\n    }\n  }\n")); err != nil {
		t.Fatal(err)
	}
	lbtest.Eventually(t, "the memory is full", func() bool { return strings.Contains(lb.read("lb.log"), "warmed up in part") })
	if n := strings.Count(lb.read("lb.log"), "warming up: root="+dir); n != 1 {
		t.Errorf("it was warmed up %d times", n)
	}
	if err := os.RemoveAll(other); err != nil {
		t.Fatal(err)
	}
}
