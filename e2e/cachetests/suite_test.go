//go:build e2e

package cachetests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cacheTest is one test of the suite, as its schema defines it.
type cacheTest struct {
	Name        string
	ID          string
	Kind        string // required if empty; optimal or check
	BrowserOnly bool   `json:"browser_only"`
	Requests    []*exchange
}

// exchange is a request of a test, the origin's response to it, and what is expected of both.
type exchange struct {
	Method         string      `json:"request_method"`
	RequestFields  []field     `json:"request_headers"`
	RequestBody    string      `json:"request_body"`
	Query          string      `json:"query_arg"`
	Filename       string      `json:"filename"`
	PauseAfter     bool        `json:"pause_after"` // for three seconds
	MagicSince     bool        `json:"magic_ims"`   // If-Modified-Since is relative to the time of the response before
	MagicLocations bool        `json:"magic_locations"`
	RFC850         []string    `json:"rfc850date"` // the names of fields with dates in that format
	Disconnect     bool        // of the origin, without a response
	Pause          int         `json:"response_pause"` // seconds
	Interim        []interim   `json:"interim_responses"`
	Status         *statusLine `json:"response_status"`
	Fields         []field     `json:"response_headers"`
	Body           *string     `json:"response_body"`

	WantType     string            `json:"expected_type"`
	WantMethod   string            `json:"expected_method"`
	WantStatus   json.RawMessage   `json:"expected_status"` // a number; null: any
	WantSent     []json.RawMessage `json:"expected_request_headers"`
	WantNotSent  []json.RawMessage `json:"expected_request_headers_missing"`
	WantFields   []json.RawMessage `json:"expected_response_headers"`
	WantNoFields []json.RawMessage `json:"expected_response_headers_missing"`
	WantText     json.RawMessage   `json:"expected_response_text"` // null: any
	WantInterim  []interim         `json:"expected_interim_responses"`
	CheckBody    *bool             `json:"check_body"`
}

// field is a field whose value may be a number of seconds from now. Only what has no third member, or true, is compared at the client.
type field struct {
	name    string
	value   string
	seconds int
	date    bool // value is to be made of seconds
	checked bool
}

func (f *field) UnmarshalJSON(b []byte) error {
	var list []any
	if err := json.Unmarshal(b, &list); err != nil || len(list) < 2 {
		return fmt.Errorf("%s: %v", b, err)
	}
	f.name, _ = list[0].(string)
	f.checked = len(list) < 3 || list[2] == true
	switch v := list[1].(type) {
	case string:
		f.value = v
	case float64:
		f.seconds, f.date = int(v), slices.Contains(dated, strings.ToLower(f.name))
		f.value = strconv.Itoa(f.seconds)
	}
	return nil
}

var dated = []string{"date", "expires", "last-modified", "if-modified-since", "if-unmodified-since"}

// fix sets the value of a field that depends on the time, in Unix milliseconds, or on the origin's URL.
func (f *field) fix(e *exchange, now int64, base string) {
	lower := strings.ToLower(f.name)
	switch {
	case f.date:
		layout := http.TimeFormat
		if slices.Contains(e.RFC850, lower) {
			layout = "Monday, 02-Jan-06 15:04:05 GMT"
		}
		f.value = time.UnixMilli(now + int64(f.seconds)*1000).UTC().Format(layout)
	case e.MagicLocations && (lower == "location" || lower == "content-location"):
		f.value = strings.TrimSuffix(base+"/"+f.value, "/")
	}
}

// interim is an interim response.
type interim struct {
	status int
	fields []field
}

func (i *interim) UnmarshalJSON(b []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	if err := json.Unmarshal(list[0], &i.status); err != nil || len(list) == 1 {
		return err
	}
	return json.Unmarshal(list[1], &i.fields)
}

// statusLine is the status of a response and its reason.
type statusLine struct {
	status int
	reason string
}

func (s *statusLine) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[]any{&s.status, &s.reason})
}

// load reads the suite. Each run of a test reads it again, since runs change it.
func load(t *testing.T) map[string]*cacheTest {
	t.Helper()
	text, err := os.ReadFile("testdata/tests.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []*cacheTest
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	tests := map[string]*cacheTest{}
	for _, c := range list {
		if !c.BrowserOnly {
			tests[c.ID] = c
		}
	}
	return tests
}

// exceptions reads the list of the tests that lb does not pass, with their reasons.
func exceptions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	reasons, reason := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
			reason = ""
		case strings.HasPrefix(line, "#"):
			reason += strings.TrimPrefix(line, "#")
		case reason == "":
			t.Errorf("%s has no reason", line)
		default:
			reasons[line] = reason
		}
	}
	return reasons
}
