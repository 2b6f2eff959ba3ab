package listener

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"lb/http1"
	"lb/telemetry"
)

// shown returns the exposed metrics.
func shown(r *telemetry.Registry) string {
	var out bytes.Buffer
	r.WritePrometheus(&out)
	return out.String()
}

func wantMetrics(t *testing.T, r *telemetry.Registry, want ...string) {
	t.Helper()
	text := shown(r)
	for _, line := range want {
		if !strings.Contains(text, line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			t.Errorf("no %s in\n%s", line, grep(text, name))
		}
	}
}

// TestMetrics: the metrics of connections and refusals are correct, and are removed with their listener.
func TestMetrics(t *testing.T) {
	r := telemetry.NewRegistry()
	var logged atomic.Int32
	o := Options{
		Listeners: []ListenerOptions{{Address: "127.0.0.1:0"}},
		Metrics:   r, Limits: Limits{Limits: http1.Limits{HeaderSize: 1024, HeaderFields: 3}, MaxConnections: 9},
		Handler: func(s *http1.Stream) {
			if string(s.Request().Target) == "/panic" {
				panic("as asked")
			}
			echo(s)
		},
		Refused: func(c *http1.Conn, r *http1.Refusal) {
			if !c.Info.Peer.IsValid() || r.Status < 400 || len(r.RequestID) != 32 || r.BytesOut < 100 {
				t.Errorf("%v: %+v", c.Info.Peer, r)
			}
			logged.Add(1)
		},
	}
	s := start(t, o)
	kept := dial(t, s)
	kept.send(ok + "\r\n")
	kept.expect("GET / ")
	for _, request := range []string{"BAD\r\n\r\n", refused, ok + "X: " + strings.Repeat("x", 1024) + "\r\n\r\n", ok + "a: b\r\na: b\r\na: b\r\n\r\n", "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c := dial(t, s)
		if status := statusOf(c, request); status < 400 {
			t.Errorf("%.20q: %d", request, status)
		}
		c.closed()
		c.Close()
	}
	eventually(t, func() bool { return s.Open() == 1 })
	wantMetrics(t, r,
		`lb_connections{listener="127.0.0.1:0"} 1`, `lb_connections_total{listener="127.0.0.1:0"} 6`,
		`lb_rejected_requests_total{reason="bad_request"} 2`, `lb_rejected_requests_total{reason="header_size"} 1`,
		`lb_rejected_requests_total{reason="header_fields"} 1`, `lb_rejected_requests_total{reason="max_connections"} 0`,
		`lb_handler_panics_total 1`)
	if n := logged.Load(); n != 5 {
		t.Errorf("the access log has %d refusals", n)
	}
	o.Limits.MaxConnections = 1
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	if status := statusOf(dial(t, s), ok+"\r\n"); status != 503 {
		t.Error(status)
	}
	wantMetrics(t, r, `lb_rejected_requests_total{reason="max_connections"} 1`, `lb_connections_total{listener="127.0.0.1:0"} 7`)
	o.Listeners = []ListenerOptions{{Address: "127.0.0.2:0", TLS: &TLSOptions{GetCertificate: always(issue(t, nil, "a.example"))}}}
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	wantMetrics(t, r, `lb_connections{listener="127.0.0.2:0"} 0`, `lb_tls_handshakes_total{listener="127.0.0.2:0",result="ok"} 0`)
	eventually(t, func() bool { return !strings.Contains(shown(r), `listener="127.0.0.1:0"`) })
	shutdown(t, s)
	if text := grep(shown(r), "listener="); text != "" {
		t.Errorf("after the end:\n%s", text)
	}
}
