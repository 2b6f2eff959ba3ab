package clock

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHandlerResponds(t *testing.T) {
	tests := []struct {
		name, method, target string
		status               int
		contentType          string
		contains             []string
	}{
		{"page", "GET", "/", 200, "text/html; charset=utf-8", []string{
			"<code id=\"replica\">clock-&lt;1&gt;</code>", `<img src="/images/clock.svg"`, "<time id"}},
		{"page head", "HEAD", "/", 200, "text/html; charset=utf-8", nil},
		{"health", "GET", "/healthz", 200, "text/plain; charset=utf-8", []string{"ok"}},
		{"time", "GET", "/api/time", 200, "application/json", []string{`"time":"`, `"unix":`, `"replica":`}},
		{"picture", "GET", "/images/clock.svg", 200, "image/svg+xml", []string{"<svg", "</svg>"}},
		{"no such page", "GET", "/nothing", 404, "text/plain; charset=utf-8", nil},
		{"no such picture", "GET", "/images/no.svg", 404, "text/plain; charset=utf-8", nil},
		{"wrong method", "POST", "/api/time", 405, "text/plain; charset=utf-8", nil},
	}
	handler := Handler("clock-<1>")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, httptest.NewRequest(tt.method, tt.target, nil))
			if rec.Code != tt.status {
				t.Fatalf("status %d, want %d", rec.Code, tt.status)
			}
			if got := rec.Header().Get("Content-Type"); got != tt.contentType {
				t.Errorf("Content-Type %q, want %q", got, tt.contentType)
			}
			if got := rec.Header().Get("X-Replica"); got != "clock-<1>" {
				t.Errorf("X-Replica %q", got)
			}
			for _, part := range tt.contains {
				if !strings.Contains(rec.Body.String(), part) {
					t.Errorf("body lacks %q:\n%s", part, rec.Body)
				}
			}
		})
	}
}

func TestReadingIsNowAndNotCached(t *testing.T) {
	before := time.Now().Add(-time.Second)
	rec := httptest.NewRecorder()
	Handler("a").ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/api/time", nil))
	var reading Reading
	if err := json.Unmarshal(rec.Body.Bytes(), &reading); err != nil {
		t.Fatal(err)
	}
	if reading.Replica != "a" || reading.Time.Before(before) || reading.Time.After(time.Now()) {
		t.Errorf("reading %+v is not of now", reading)
	}
	if reading.Unix != reading.Time.Unix() {
		t.Errorf("unix %d is not time %v", reading.Unix, reading.Time)
	}
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control %q, want no-store", got)
	}
}

func TestImagesHoldsTheClock(t *testing.T) {
	if _, err := fs.Stat(Images, "images/clock.svg"); err != nil {
		t.Fatal(err)
	}
}
