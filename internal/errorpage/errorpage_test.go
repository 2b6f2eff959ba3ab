package errorpage

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestBodyFollowsAccept(t *testing.T) {
	for _, tc := range []struct{ accept, media string }{
		{"", "text/plain; charset=utf-8"},
		{"*/*", "text/plain; charset=utf-8"},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8"},
		{"application/json", "application/json"},
		{"application/json, text/html", "application/json"},
		{"application/json;q=0.5, text/html;q=0.9", "text/html; charset=utf-8"},
		{"text/html;q=0, application/json;q=0.1", "application/json"},
		{"TEXT/HTML; Q=1.0", "text/html; charset=utf-8"},
		{"text/*, application/json;q=0.5", "text/plain; charset=utf-8"},
		{"text/*;q=0.4, application/json;q=0.5", "application/json"},
		{"text/html;q=0.1, text/*", "text/plain; charset=utf-8"},
		{"text/plain;q=0.1, text/*", "text/html; charset=utf-8"},
		{"*/*;q=0.1,application/json", "application/json"},
		{"application/json;q=0.5, */*", "text/plain; charset=utf-8"},
		{"application/json, text/plain, */*", "application/json"},
		{"application/*", "application/json"},
		{"text/html;q=0.1, application/xhtml+xml", "text/html; charset=utf-8"},
		{"image/png", "text/plain; charset=utf-8"},
		{"text/plain;q=0, text/html;q=0, application/json;q=0", "text/plain; charset=utf-8"},
		{",, application/json ,", "application/json"},
		{"text/html;q=nonsense", "text/plain; charset=utf-8"},
		{"text/html;q=.5, application/json;q=0.4999", "text/html; charset=utf-8"},
		{"text/html;q=0.0, application/json;q=0.001", "application/json"},
		{"text/html;q=1.001, application/json;q=0.1", "application/json"},
		{"text/html;q=, application/json;q=0.1", "application/json"},
		{"text/html;q=0.5" + strings.Repeat("0", 900) + ",application/json;q=0.4", "text/html; charset=utf-8"},
		{strings.Repeat("a/b,", 255) + "*/*, application/json", "text/plain; charset=utf-8"}, // beyond MaxAccept
	} {
		if _, media := Body([]byte(tc.accept), 503, "", nil); media != tc.media {
			t.Errorf("Accept %q: %s, want %s", tc.accept, media, tc.media)
		}
	}
}

func TestBodyIsWellFormed(t *testing.T) {
	body, _ := Body([]byte("application/json"), 502, `bad "backend" <b>`, []byte("id-1"))
	var got struct {
		Error     string `json:"error"`
		Status    int    `json:"status"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Status != 502 || got.Error != `bad "backend" <b>` || got.RequestID != "id-1" {
		t.Errorf("JSON body %q: %+v, %v", body, got, err)
	}
	body, _ = Body([]byte("text/html"), 502, `<script>`, []byte("id"))
	if strings.Contains(string(body), "<script>") || !strings.Contains(string(body), "&lt;script&gt;") {
		t.Errorf("HTML is not escaped: %s", body)
	}
	body, _ = Body(nil, 404, "", nil)
	if string(body) != "404 Not Found: Not Found\n" {
		t.Errorf("text body %q", body)
	}
}
