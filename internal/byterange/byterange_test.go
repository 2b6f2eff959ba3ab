package byterange

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

// Whatever the field holds: spans are within the file, few, no more than the file in sum, and where the
// field is of the common form, the response is net/http's.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-1", "bytes=1-", "bytes=0-1,3-4", "bytes=-0", "bytes=9-1", "bytes=,,0-0", "Bytes = 1-2",
		"bytes=0-99999999999999999999", "bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", "items=1-2", "bytes=1-2-3"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		spans, ok := Parse(nil, []byte(field), size)
		if !ok && len(spans) > 0 || len(spans) > Most {
			t.Fatalf("%v %v", spans, ok)
		}
		var sum int64
		for _, s := range spans {
			if s.Start < 0 || s.Length <= 0 || s.Start > size-s.Length {
				t.Fatalf("%v of %d", s, size)
			}
			if sum += s.Length; sum > size || sum < 0 {
				t.Fatalf("%v exceed %d", spans, size)
			}
		}
		if again := rewritten(spans); again != "" { // what was understood, written plainly, is understood so again
			if spans2, ok2 := Parse(nil, []byte(again), size); !ok2 || !slices.Equal(spans, spans2) {
				t.Fatalf("%q of %d: %v, but %q: %v %v", field, size, spans, again, spans2, ok2)
			}
		}
		if size == 0 || size > 1<<16 || !strings.HasPrefix(field, "bytes=") || strings.Contains(field, "-0") || strings.Count(field, ",") >= Most ||
			strings.ContainsFunc(field, func(r rune) bool { return r == '+' || r > '~' || unicode.IsSpace(r) }) || len(field) > 30 {
			return
		}
		rec := httptest.NewRecorder()
		req := &http.Request{Method: "GET", Header: http.Header{"Range": {field}}}
		http.ServeContent(rec, req, "f.txt", time.Time{}, strings.NewReader(strings.Repeat("x", int(size))))
		status := 200
		switch {
		case !ok:
			status = 416
		case len(spans) > 0:
			status = 206
		}
		if rec.Code != status && !longNumber(field) && !beginsBehind(field, size) {
			t.Fatalf("%q of %d: %d, net/http %d", field, size, status, rec.Code)
		}
	})
}

// rewritten makes a Range field of spans, "" if there are none.
func rewritten(spans []Span) string {
	var items []string
	for _, s := range spans {
		items = append(items, fmt.Sprintf("%d-%d", s.Start, s.Start+s.Length-1))
	}
	if items == nil {
		return ""
	}
	return "bytes=" + strings.Join(items, ",")
}

// beginsBehind reports whether one of the ranges begins behind the file's end: net/http looks no further at it, and so
// overlooks an end that is malformed or before the beginning (RFC 9110 section 14.1.1).
func beginsBehind(field string, size int64) bool {
	for item := range strings.SplitSeq(strings.TrimPrefix(field, "bytes="), ",") {
		var first int64
		if n, _ := fmt.Sscanf(item, "%d-", &first); n == 1 && first >= size {
			return true
		}
	}
	return false
}

// longNumber reports whether a field may hold a number that net/http finds too large.
func longNumber(field string) bool {
	digits := 0
	for _, c := range field {
		if c < '0' || c > '9' {
			digits = 0
		} else if digits++; digits > 18 {
			return true
		}
	}
	return false
}
