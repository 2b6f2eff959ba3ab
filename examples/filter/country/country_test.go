package country

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lb/filter"
	"lb/message"
)

// request is a request from an address, of which the filter asks nothing else.
type request struct {
	filter.Exchange
	from string
}

func (r request) ClientIP() netip.Addr { return netip.MustParseAddr(r.from) }

// verdict returns the status of a refusal and the first field for the backend.
func verdict(f filter.Filters, from string) (status int, value string) {
	v := f.Request.Request(request{from: from})
	if v.Ask != nil {
		v.Refusal = v.Ask(context.Background())
	}
	if v.Refusal != nil {
		return v.Refusal.Status, ""
	}
	if len(v.Grant.Fields) > 0 {
		value = string(v.Grant.Fields[0].Value)
	}
	return 0, value
}

func TestCountry(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, []byte("# networks\n192.0.2.0/24 DE\n192.0.2.128/25 FR\n2001:db8::/32 XX\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		country := map[string]string{"192.0.2.1": "DE", "192.0.2.200": "FR", "2001:db8::1": "XX"}[r.FormValue("address")]
		_, _ = io.WriteString(w, country+"\n")
	}))
	defer service.Close()
	for _, s := range []Settings{
		{Field: "X-Country", Blocked: []string{"XX"}, Table: table, Show: true},
		{Field: "X-Country", Blocked: []string{"XX"}, Service: service.URL, Timeout: 10 * time.Second},
	} {
		f, err := build(s)
		if err != nil {
			t.Fatal(err)
		}
		unknown := 0
		if s.Service != "" {
			unknown = 503
		}
		for _, c := range []struct {
			from, value string
			status      int
		}{{"192.0.2.1", "DE", 0}, {"192.0.2.200", "FR", 0}, {"2001:db8::1", "", 451}, {"198.51.100.1", "", unknown}} {
			if status, value := verdict(f, c.from); status != c.status || value != c.value {
				t.Errorf("%s: got %d %q, want %d %q", c.from, status, value, c.status, c.value)
			}
		}
		if f.Response == nil {
			continue
		}
		var r message.Response
		f.Response.Response(request{from: "192.0.2.1"}, &r, filter.Usual)
		if len(r.Fields) != 1 || string(r.Fields[0].Value) != "DE" {
			t.Errorf("the response has %d fields", len(r.Fields))
		}
	}
}

func TestFaults(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(broken, []byte("192.0.2.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Settings{
		{Field: "X"}, {Field: "X", Table: "a", Service: "http://a"}, {Field: "a b", Table: broken},
		{Field: "X", Service: "nowhere"}, {Field: "X", Table: broken}, {Field: "X", Table: broken + "-missing"},
	} {
		if _, err := build(s); err == nil {
			t.Errorf("%+v is not refused", s)
		}
	}
}
