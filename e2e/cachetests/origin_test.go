//go:build e2e

package cachetests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is the backend of all tests. It responds as the request's test says, and records what it got.
type origin struct {
	net.Listener
	mu   sync.Mutex
	runs map[string]*run // by the name in the path
	done sync.WaitGroup
}

// seen is a request that the origin has got, and the fields of its response that the client should get.
type seen struct {
	number string // the client's
	method string
	fields textproto.MIMEHeader
	sent   [][2]string
}

func newOrigin(t *testing.T) *origin {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{Listener: ln, runs: map[string]*run{}}
	o.done.Go(o.accept)
	t.Cleanup(func() { ln.Close(); o.done.Wait() })
	return o
}

func (o *origin) accept() {
	for {
		c, err := o.Accept()
		if err != nil {
			return
		}
		o.done.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			o.serve(c)
		})
	}
}

// serve responds to one request.
func (o *origin) serve(c net.Conn) {
	q, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, q.Body)
	name, _, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/test/"), "/")
	o.mu.Lock()
	r := o.runs[name]
	o.mu.Unlock()
	number, _ := strconv.Atoi(q.Header.Get("Req-Num"))
	if r == nil || number < 1 || number > len(r.Requests) {
		fmt.Fprintf(c, "HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		return
	}
	e := r.Requests[number-1]
	time.Sleep(time.Duration(e.Pause) * time.Second)
	if text := r.respond(e, number, q); !e.Disconnect {
		_, _ = io.WriteString(c, text)
	}
}

// respond records a request and returns the response to it.
func (r *run) respond(e *exchange, number int, q *http.Request) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, i := range e.Interim {
		fmt.Fprintf(&b, "HTTP/1.1 %d Interim\r\n", i.status)
		for _, f := range i.fields {
			fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		}
		b.WriteString("\r\n")
	}
	status := r.status(e, number, q)
	now := time.Now().UnixMilli()
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nConnection: close\r\nServer-Base-Url: %s\r\nServer-Request-Count: %d\r\nClient-Request-Count: %d\r\nServer-Now: %d\r\n",
		status.status, status.reason, q.RequestURI, len(r.seen)+1, number, now)
	s := seen{number: strconv.Itoa(number), method: q.Method, fields: textproto.MIMEHeader(q.Header)}
	body := r.name
	if e.Body != nil {
		body = *e.Body
	}
	has := map[string]bool{}
	for i := range e.Fields {
		f := &e.Fields[i]
		f.fix(e, now, q.RequestURI)
		has[strings.ToLower(f.name)] = true
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
		if f.checked {
			s.sent = append(s.sent, [2]string{f.name, f.value})
		}
	}
	r.seen = append(r.seen, s)
	for i := range r.seen {
		if i == 0 {
			b.WriteString("Request-Numbers:")
		}
		b.WriteString(" " + r.seen[i].number)
	}
	b.WriteString("\r\n")
	if !has["date"] {
		b.WriteString("Date: " + time.UnixMilli(now).UTC().Format(http.TimeFormat) + "\r\n")
	}
	if !has["content-type"] {
		b.WriteString("Content-Type: text/plain\r\n")
	}
	if bodiless := status.status == 204 || status.status == 304 || q.Method == "HEAD"; bodiless {
		body = ""
	} else if !has["content-length"] && !has["transfer-encoding"] {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// status returns the status of a response: 304 if the request has the expected validators, 999 if it should have had them.
func (r *run) status(e *exchange, number int, q *http.Request) statusLine {
	status := statusLine{200, "OK"}
	if e.Status != nil {
		status = *e.Status
	}
	if !strings.HasSuffix(e.WantType, "validated") || number < 2 {
		return status
	}
	status = statusLine{999, "304 Not Generated"}
	for _, f := range r.Requests[number-2].Fields {
		sent := q.Header.Get(map[string]string{"last-modified": "If-Modified-Since", "etag": "If-None-Match"}[strings.ToLower(f.name)])
		if sent != "" && sent == f.value {
			status = statusLine{304, "Not Modified"}
		}
	}
	return status
}
