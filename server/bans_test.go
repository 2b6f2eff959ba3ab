package server_test

import (
	"strings"
	"testing"
)

// TestBans: a banned client gets 403 on every site until the ban is lifted; a reload keeps it.
func TestBans(t *testing.T) {
	text := "trusted_proxies = [\"127.0.0.1\"]\nsite \"s\" {\n  route \"/\" {\n    respond {}\n  }\n}\n"
	r := start(t, text)
	status := func(client string) int { return r.get("/", "X-Forwarded-For: "+client).Status() }
	post := func(body string) (int, string) { return r.sendAdmin("POST", "/api/v1/bans", strings.NewReader(body)) }
	for body, want := range map[string]string{
		`{"network":"192.0.2.1","reason":"scanner"}`:                          `"network":"192.0.2.1/32"`,
		`{"network":"2001:db8::/32","for":"24h"}`:                             `"network":"2001:db8::/32"`,
		`{"network":"192.0.2.300"}`:                                           "is not a network",
		`{"network":"fe80::1%eth0"}`:                                          "is not a network",
		`{"network":"0.0.0.0/0"}`:                                             "too wide",
		`{"network":"192.0.2.2","for":"soon"}`:                                "is not a duration",
		`{"network":"192.0.2.2","for":"-1h"}`:                                 "lasts more than",
		`{"network":"192.0.2.2","for":"10000h"}`:                              "lasts more than",
		`{"network":"192.0.2.2","until":"x"}`:                                 "unknown field",
		`{"network":"192.0.2.2","reason":"` + strings.Repeat("x", 300) + `"}`: "more than 200 bytes",
		`{}`: "is not a network",
		`[]`: "cannot read the body",
	} {
		if code, got := post(body); !strings.Contains(got, want) || (code == 200) != strings.HasPrefix(want, `"network"`) {
			t.Errorf("%s: %d %s", body, code, got)
		}
	}
	for range 2 {
		for client, want := range map[string]int{"192.0.2.1": 403, "2001:db8::5": 403, "192.0.2.2": 200} {
			if got := status(client); got != want {
				t.Errorf("%s: %d, want %d", client, got, want)
			}
		}
		if err := r.reload(text + "# again\n"); err != nil {
			t.Fatal(err)
		}
	}
	if list := r.admin("GET", "/api/v1/bans"); !strings.Contains(list, `"reason":"scanner"`) || strings.Index(list, "192.0.2.1/32") > strings.Index(list, "2001:db8::/32") {
		t.Error(list)
	}
	if e := r.admin("GET", "/api/v1/explain?url=http://x/&client=192.0.2.1"); !strings.Contains(e, "this address is banned") {
		t.Error(e)
	}
	for path, want := range map[string]int{"192.0.2.1": 200, "2001:db8::/32": 200, "192.0.2.2": 404, "x": 400} {
		if got, body := r.sendAdmin("DELETE", "/api/v1/bans/"+path, nil); got != want {
			t.Errorf("%s: %d %s", path, got, body)
		}
	}
	if got := status("192.0.2.1"); got != 200 {
		t.Errorf("after the ban was lifted: %d", got)
	}
	if list := r.admin("GET", "/api/v1/bans"); strings.TrimSpace(list) != "[]" {
		t.Error(list)
	}
	r.wantMetric(`lb_rejected_requests_total{reason="ban"}`, "4")
}
