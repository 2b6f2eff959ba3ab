package server_test

import (
	"context"
	"strings"
	"testing"

	"lb/config"
	"lb/filter"
	"lb/internal/lbtest"
	messages "lb/message"
	"lb/server"
)

// scripted is a filter that does what the path says.
type scripted struct{}

func (scripted) Request(x filter.Exchange) filter.Verdict {
	grant := &filter.Grant{Fields: []messages.Field{messages.NewField("X-Own", "of the filter")}, User: "ann"}
	switch string(x.Path()) {
	case "/refuse":
		return filter.Refuse(&filter.Refusal{Status: 451, Reason: "not here", Rejected: "extension"})
	case "/panic":
		panic("a bug of the filter")
	case "/ask":
		return filter.Verdict{Grant: grant, Ask: func(context.Context) *filter.Refusal {
			grant.Fields = append(grant.Fields, messages.NewField("X-Own", "asked"))
			return nil
		}}
	case "/ask/refuse":
		return filter.Verdict{Ask: func(context.Context) *filter.Refusal { return &filter.Refusal{Status: 402, Reason: "asked"} }}
	case "/ask/panic":
		return filter.Verdict{Ask: func(context.Context) *filter.Refusal { panic("a bug of the question") }}
	}
	return filter.Verdict{Grant: grant}
}

func (scripted) Response(x filter.Exchange, r *messages.Response, kind filter.Kind) {
	if string(x.Path()) == "/panic/response" {
		panic("a bug of the response filter")
	}
	if kind != filter.Interim {
		r.Add("X-Seen", "yes")
	}
}

// TestExtension: filters of a build's own refuse, add fields for the backend and to the response, ask, and panic, in the routes that have
// their block.
func TestExtension(t *testing.T) {
	b := record(t, lbtest.OK("app"))
	type settings struct{}
	scriptedOnes := filter.NewExtension("scripted", settings{}, func(settings) (filter.Filters, error) {
		return filter.Filters{Request: scripted{}, Response: scripted{}, Fields: []string{"X-Own"}}, nil
	})
	text := strings.Replace(proxyTo("", b.Addr), "    proxy {", "    scripted {}\n    proxy {", 1)
	lb := startWith(t, t.TempDir(), text, server.Options{}, config.WithExtensions(scriptedOnes))
	c := lb.dial()
	for _, tc := range []struct {
		path   string
		status int
		seen   string
		own    string // at the backend
	}{
		{"/", 200, "yes", "of the filter"},
		{"/refuse", 451, "yes", ""},
		{"/panic", 500, "", ""},
		{"/ask", 200, "yes", "of the filter|asked"},
		{"/ask/refuse", 402, "yes", ""},
		{"/ask/panic", 500, "yes", ""},
		{"/panic/response", 500, "", ""},
		{"/", 200, "yes", "of the filter"},
	} {
		c.Send("GET " + tc.path + " HTTP/1.1\r\nHost: s\r\nX-Own: forged\r\nx_own: forged\r\n\r\n")
		r := c.ReadResponse("GET")
		if r.Status() != tc.status || tc.status != 500 && r.Field("X-Seen") != tc.seen {
			t.Errorf("%s: got %v", tc.path, r)
		}
		if head, _ := b.last(); tc.own != "" && (strings.Join(lbtest.Fields(head, "X-Own"), "|") != tc.own || strings.Contains(head, "forged")) {
			t.Errorf("%s: the backend got %q", tc.path, head)
		}
	}
	lb.wantMetric("lb_handler_panics_total", "3")
	lb.wantMetric(`lb_rejected_requests_total{reason="extension"}`, "1")
}
