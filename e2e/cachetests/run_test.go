//go:build e2e

package cachetests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pause is the time for which a response whose test says so ages. The suite has lifetimes of two seconds.
const pause = 3 * time.Second

// run is one run of a test.
type run struct {
	*cacheTest
	name string // random, in the path and in most bodies
	mu   sync.Mutex
	seen []seen // by the origin
}

// result is what a client got.
type result struct {
	*http.Response
	interim []interimGot
	body    string
}

type interimGot struct {
	status int
	fields textproto.MIMEHeader
}

// get returns the value of a field, several of which are joined.
func (g *result) get(name string) string {
	return strings.Join(g.Header.Values(name), ", ")
}

func (g *result) has(name string) bool { return len(g.Header.Values(name)) > 0 }

// play makes the requests of a test and checks their responses, and then what the origin got.
func (r *run) play(ctx context.Context, client *http.Client) error {
	var before *result
	var all []*result
	for i, e := range r.Requests {
		got, err := r.request(ctx, client, e, i+1, before)
		if err != nil {
			return err
		}
		if err := r.check(e, i+1, got); err != nil {
			return fmt.Errorf("response %d: %w", i+1, err)
		}
		before, all = got, append(all, got)
		if e.PauseAfter {
			time.Sleep(pause)
		}
	}
	return r.checkSeen(all)
}

// request makes one request.
func (r *run) request(ctx context.Context, client *http.Client, e *exchange, number int, before *result) (*result, error) {
	url := "http://cache.test/test/" + r.name
	if e.Filename != "" {
		url += "/" + e.Filename
	}
	if e.Query != "" {
		url += "?" + e.Query
	}
	got := &result{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		got.interim = append(got.interim, interimGot{code, header})
		return nil
	}})
	q, err := http.NewRequestWithContext(ctx, e.Method, url, strings.NewReader(e.RequestBody))
	if err != nil {
		return nil, err
	}
	// The first two say nothing. They are those of the suite's own client.
	q.Header = http.Header{"Pragma": {"foo"}, "Cache-Control": {"nothing-to-see-here"}, "Accept": {"*/*"}, "Accept-Language": {"*"},
		"Accept-Encoding": {"gzip, deflate"}, "Test-Id": {r.ID}, "Req-Num": {strconv.Itoa(number)}}
	for _, f := range e.RequestFields {
		if e.MagicSince && before != nil && strings.EqualFold(f.name, "if-modified-since") {
			now, _ := strconv.ParseInt(before.get("Server-Now"), 10, 64)
			f.fix(e, now, "")
		}
		q.Header.Set(f.name, strings.TrimPrefix(q.Header.Get(f.name)+", "+f.value, ", ")) // as fetch sends fields of one name
	}
	if got.Response, err = client.Do(q); err != nil {
		return nil, fmt.Errorf("request %d: %w", number, err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	got.body = string(body)
	return got, err
}

// check checks a response.
func (r *run) check(e *exchange, number int, got *result) error {
	count, countErr := strconv.Atoi(got.get("Server-Request-Count"))
	switch {
	case e.WantType == "cached" && !(got.StatusCode == 304 && countErr != nil) && (countErr != nil || count >= number):
		return fmt.Errorf("is not from the cache")
	case e.WantType == "not_cached" && count != number:
		return fmt.Errorf("is from the cache")
	}
	want := 200
	switch {
	case e.WantStatus != nil && string(e.WantStatus) != "null":
		want, _ = strconv.Atoi(string(e.WantStatus))
	case e.WantStatus != nil:
		want = got.StatusCode
	case e.Status != nil:
		want = e.Status.status
	}
	if got.StatusCode != want {
		return fmt.Errorf("has status %d, not %d", got.StatusCode, want)
	}
	if err := e.checkFields(got); err != nil {
		return err
	}
	if err := e.checkInterim(got); err != nil {
		return err
	}
	text := r.name
	switch {
	case e.CheckBody != nil && !*e.CheckBody, string(e.WantText) == "null", e.Method == "HEAD":
		return nil
	case e.WantText != nil:
		_ = json.Unmarshal(e.WantText, &text)
	case e.Body != nil:
		text = *e.Body
	case got.StatusCode == 204 || got.StatusCode == 304:
		return nil
	}
	if got.body != text {
		return fmt.Errorf("has the body %q, not %q", got.body, text)
	}
	return nil
}

// checkFields checks the fields of a response that are expected, or not expected.
func (e *exchange) checkFields(got *result) error {
	now, _ := strconv.ParseInt(got.get("Server-Now"), 10, 64)
	for _, raw := range e.WantFields {
		name, rest := split(raw)
		value := got.get(name)
		switch {
		case !got.has(name):
			return fmt.Errorf("has no %s", name)
		case len(rest) == 2 && string(rest[0]) == `"="`:
			if other, _ := split(rest[1]); value != got.get(other) {
				return fmt.Errorf("has %s %q, and %s %q", name, value, other, got.get(other))
			}
		case len(rest) == 2 && string(rest[0]) == `">"`:
			least, _ := strconv.Atoi(string(rest[1]))
			if n, err := strconv.Atoi(value); err != nil || n <= least {
				return fmt.Errorf("has %s %q, not more than %d", name, value, least)
			}
		case len(rest) == 1:
			var f field
			if err := json.Unmarshal(raw, &f); err != nil {
				return err
			}
			if f.fix(e, now, got.get("Server-Base-Url")); value != f.value {
				return fmt.Errorf("has %s %q, not %q", name, value, f.value)
			}
		}
	}
	for _, raw := range e.WantNoFields {
		if name, rest := split(raw); got.has(name) && (len(rest) == 0 || strings.Contains(got.get(name), text(rest[0]))) {
			return fmt.Errorf("has %s %q", name, got.get(name))
		}
	}
	return nil
}

// split returns the name and the rest of an expected field, which may be a name alone.
func split(raw json.RawMessage) (name string, rest []json.RawMessage) {
	if bytes.HasPrefix(raw, []byte(`"`)) {
		return text(raw), nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return "", nil
	}
	return text(list[0]), list[1:]
}

func text(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

func (e *exchange) checkInterim(got *result) error {
	if e.WantInterim == nil {
		return nil
	}
	if len(got.interim) != len(e.WantInterim) {
		return fmt.Errorf("follows %d interim responses, not %d", len(got.interim), len(e.WantInterim))
	}
	for i, want := range e.WantInterim {
		for _, f := range want.fields {
			if got.interim[i].status != want.status || got.interim[i].fields.Get(f.name) != f.value {
				return fmt.Errorf("follows %v", got.interim[i])
			}
		}
	}
	return nil
}

// checkSeen checks the requests that the origin got.
func (r *run) checkSeen(all []*result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := 0
	for i, e := range r.Requests {
		if e.WantType == "cached" {
			continue // the origin has not got it
		}
		var s *seen
		if next < len(r.seen) {
			s = &r.seen[next]
		}
		next++
		if err := r.checkRequest(e, i+1, s); err != nil {
			return fmt.Errorf("request %d: %w", i+1, err)
		}
		if s == nil {
			continue
		}
		for name, value := range joined(s.sent) {
			if got := all[i].get(name); !strings.EqualFold(name, "date") && got != value {
				return fmt.Errorf("response %d has %s %q, not %q", i+1, name, got, value)
			}
		}
	}
	return nil
}

// joined returns fields with the values of those of the same name joined.
func joined(fields [][2]string) map[string]string {
	all := map[string]string{}
	for _, f := range fields {
		if before, ok := all[f[0]]; ok {
			all[f[0]] = before + ", " + f[1]
		} else {
			all[f[0]] = f[1]
		}
	}
	return all
}

// checkRequest checks a request that the origin should have got; s is nil if it has not.
func (r *run) checkRequest(e *exchange, number int, s *seen) error {
	need := map[string]string{"etag_validated": "If-None-Match", "lm_validated": "If-Modified-Since"}[e.WantType]
	if s == nil {
		if need != "" || e.WantType != "" || len(e.WantSent)+len(e.WantNotSent) > 0 || e.WantMethod != "" {
			return fmt.Errorf("was not sent to the origin")
		}
		return nil
	}
	switch {
	case e.WantType == "not_cached" && s.number != strconv.Itoa(number):
		return fmt.Errorf("the origin has got request %s", s.number)
	case need != "" && s.fields.Get(need) == "":
		return fmt.Errorf("had no %s", need)
	case e.WantMethod != "" && s.method != e.WantMethod:
		return fmt.Errorf("had method %s", s.method)
	}
	for _, raw := range e.WantSent {
		name, rest := split(raw)
		value := strings.Join(s.fields.Values(name), ", ")
		if len(rest) == 0 && !slices.Contains(names(s.fields), http.CanonicalHeaderKey(name)) || len(rest) > 0 && value != text(rest[0]) {
			return fmt.Errorf("had %s %q", name, value)
		}
	}
	for _, raw := range e.WantNotSent {
		name, rest := split(raw)
		value := strings.Join(s.fields.Values(name), ", ")
		if value != "" && (len(rest) == 0 || value == text(rest[0])) {
			return fmt.Errorf("had %s %q", name, value)
		}
	}
	return nil
}

func names(fields textproto.MIMEHeader) (list []string) {
	for name := range fields {
		list = append(list, name)
	}
	return list
}
