package server_test

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"lb/internal/lbtest"
)

// lines returns n short header lines.
func lines(n int) string { return strings.Repeat("a:\r\n", n) }

// TestHeaderFieldsLimit: a request has at most limits.header_fields fields, and so has its trailer section. Their size alone does
// not bound the work for them.
func TestHeaderFieldsLimit(t *testing.T) {
	const chunkedPost = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	for _, limit := range []int{100, 7} {
		b := record(t, lbtest.OK("x"))
		text := "trusted_proxies = [\"127.0.0.1/32\"]\n"
		if limit != 100 {
			text += "limits {\n  header_fields = " + strconv.Itoa(limit) + "\n}\n"
		}
		lb := start(t, text+proxyTo("", b.Addr))
		for i, tc := range []struct {
			name, sent string
			refused    bool
		}{
			{"head", "GET / HTTP/1.1\r\nHost: a\r\n" + lines(limit-1) + "\r\n", false},
			{"trailer", chunkedPost + "\r\n1\r\na\r\n0\r\n" + lines(limit) + "\r\n", false},
			{"head over it", "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: my-id\r\nAccept: application/json\r\n" + lines(limit-2) + "\r\n", true},
			{"trailer over it", chunkedPost + "X-Request-Id: my-id\r\nAccept: application/json\r\n\r\n1\r\na\r\n0\r\n" + lines(limit+1) + "\r\n", true},
		} {
			c := lb.dial()
			c.Send(tc.sent)
			r := c.ReadResponse("POST")
			if !tc.refused {
				if r.Status() != 200 {
					t.Errorf("%d, %s: %q %q", limit, tc.name, r.Head, r.Body)
				}
				continue
			}
			if r.Status() != 431 || r.Field("Connection") != "close" || r.Field("X-Request-Id") != "my-id" || r.Field("Content-Type") != "application/json" {
				t.Errorf("%d, %s: %q %q", limit, tc.name, r.Head, r.Body)
			}
			lb.wantMetric(`lb_rejected_requests_total{reason="header_fields"}`, strconv.Itoa(i-1))
		}
		lbtest.Eventually(t, "the refusals stand in the access log", func() bool {
			return strings.Count(lb.read("access.log"), `"status":431`) == 2
		})
		lb.stop()
	}
}

// TestBackendFieldsLimit: a backend's response has at most 1,000 fields, and as many in its trailer section.
func TestBackendFieldsLimit(t *testing.T) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	for _, tc := range []struct {
		name, response string
		whole          bool
		status         int
	}{
		{"head", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + lines(999) + "\r\nx", true, 200},
		{"head over it", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + lines(1000) + "\r\nx", true, 502},
		{"trailer", chunked + "\r\n1\r\nx\r\n0\r\n" + lines(1000) + "\r\n", true, 200},
		{"trailer over it", chunked + "\r\n1\r\nx\r\n0\r\n" + lines(1001) + "\r\n", false, 200},
	} {
		b := lbtest.NewBackend(t, lbtest.Respond(tc.response))
		lb := start(t, proxyTo("", b.Addr))
		c := lb.dial()
		c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		text, _ := io.ReadAll(c)
		m, _, err := lbtest.ParseResponse("GET", string(text), true)
		if tc.whole && (err != nil || m.Status != tc.status) {
			t.Errorf("%s: status %d, %v", tc.name, m.Status, err)
		}
		if !tc.whole && err == nil && m.Status != 502 {
			t.Errorf("%s: the response looks whole: %q", tc.name, text)
		}
		lb.stop()
	}
}

// TestConnectionOptions: the fields that Connection names are removed from heads and trailer sections, in both directions. It may
// name at most 16; empty items do not count.
func TestConnectionOptions(t *testing.T) {
	names := func(n int) (list, fields string) {
		for i := range n {
			list += ",x-" + strconv.Itoa(i)
			fields += "X-" + strconv.Itoa(i) + ": no\r\n"
		}
		return list, fields
	}
	list, fields := names(15)
	empty := strings.Repeat(",", 8000)
	long, _ := names(17)

	sent := make(chan string, 20)
	b := lbtest.NewBackend(t, func(c *lbtest.Conn) {
		sent <- c.ReadHead()
		sent <- c.ReadHead() // the body ends with a blank line, as a head does
		c.Send("HTTP/1.1 200 OK\r\nConnection: x-last" + empty + list + "\r\n" + fields + "Stays: yes\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"1\r\nx\r\n0\r\nX-Last: no\r\nX-Stays: 1\r\n\r\n")
	})
	lb := start(t, proxyTo("", b.Addr))
	c := lb.dial()
	c.Send("POST / HTTP/1.1\r\nHost: a\r\nConnection: x-last" + empty + "\r\n" + fields + "Connection: " + list[1:] + "\r\nStays: yes\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"1\r\nx\r\n0\r\nX-Last: no\r\nX-Stays: 1\r\n\r\n")
	head := c.ReadHead()
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") || !strings.Contains(head, "\r\nStays: yes\r\n") || strings.Contains(head, ": no\r\n") {
		t.Errorf("the client read %q", head)
	}
	if body := c.ReadHead(); body != "1\r\nx\r\n0\r\nX-Stays: 1\r\n\r\n" {
		t.Errorf("the client read %q", body)
	}
	if head, _ := lbtest.Wait(t, "the head", sent); !strings.Contains(head, "\r\nStays: yes\r\n") || strings.Contains(head, ": no\r\n") {
		t.Errorf("the backend read %q", head)
	}
	if body, _ := lbtest.Wait(t, "the body", sent); body != "1\r\nx\r\n0\r\nX-Stays: 1\r\n\r\n" {
		t.Errorf("the backend read %q", body)
	}

	c = lb.dial()
	c.Send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close" + long + "\r\n\r\n")
	if r := c.ReadResponse("GET"); r.Status() != 400 || r.Field("Connection") != "close" {
		t.Errorf("17 names in Connection: %q %q", r.Head, r.Body)
	}
	b = lbtest.NewBackend(t, lbtest.Respond("HTTP/1.1 200 OK\r\nConnection: close"+long+"\r\nContent-Length: 1\r\n\r\nx"))
	lb = start(t, proxyTo("", b.Addr))
	if r := lb.get("/"); r.Status() != 502 {
		t.Errorf("17 names in a backend's Connection: %q %q", r.Head, r.Body)
	}
}
