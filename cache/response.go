package cache

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"lb/message"
)

// answered is what the cache reads in the head of a response.
type answered struct {
	control   control
	targeted  bool // control is that of CDN-Cache-Control
	setCookie bool
	varyAll   bool // Vary: *, which no other request matches
	vary      []string
	etag      []byte
	modified  []byte // Last-Modified
	age       int64  // seconds
	date      int64  // Unix seconds; none if absent or invalid
	expires   int64  // Unix seconds; none if absent, 0 if invalid
	tags      []string
}

const (
	maxVary = 16      // names in Vary; a response with more is not stored
	maxTags = 256     // tags of one response; more are ignored
	maxTag  = 1 << 10 // bytes of a tag; a longer one is ignored
	second  = int64(time.Second)
)

// read reads the head of a response.
func read(head *message.Response) answered {
	a := answered{control: noControl(), date: none, expires: none}
	var cdn []byte
	sawAge, encoded := false, false
	for i := range head.Fields {
		f := &head.Fields[i]
		if f.Hop {
			continue
		}
		switch n := len(f.Name); {
		case f.Kind == message.Date:
			if a.date == none {
				a.date = parseDate(f.Value)
			}
		case n == len("age") && message.EqualFold(f.Name, "age"):
			if !sawAge { // the first value counts (RFC 9111 section 5.1)
				first, _ := message.NextListItem(f.Value)
				a.age, sawAge = max(seconds(first), 0), true
			}
		case n == len("etag") && message.EqualFold(f.Name, "etag"):
			a.etag = f.Value
		case n == len("vary") && message.EqualFold(f.Name, "vary"):
			a.addVary(f.Value)
		case n == len("expires") && message.EqualFold(f.Name, "expires"):
			if a.expires != none { // it must not be repeated
				a.expires = 0
				continue
			}
			a.expires = max(parseDate(f.Value), 0)
		case message.EqualFold(f.Name, "cache-control"):
			a.control.add(f.Value)
		case message.EqualFold(f.Name, "cdn-cache-control"):
			if cdn != nil {
				cdn = append(append(append([]byte(nil), cdn...), ','), f.Value...)
			} else {
				cdn = f.Value
			}
		case message.EqualFold(f.Name, "content-encoding"):
			encoded = true
		case message.EqualFold(f.Name, "set-cookie"):
			a.setCookie = true
		case message.EqualFold(f.Name, "last-modified"):
			a.modified = f.Value
		case message.EqualFold(f.Name, "cache-tag"):
			a.addTags(f.Value, ',')
		case message.EqualFold(f.Name, "surrogate-key"):
			a.addTags(f.Value, ' ')
		}
	}
	if cdn != nil {
		if c, ok := targeted(cdn); ok {
			a.control, a.targeted = c, true
		}
	}
	// A response with a coding depends on what its client accepts, whether it says so or not.
	if encoded && !a.varyAll && !slices.Contains(a.vary, "accept-encoding") {
		a.vary = append(a.vary, "accept-encoding")
	}
	return a
}

func (a *answered) addVary(list []byte) {
	for len(list) > 0 {
		var name []byte
		name, list = message.NextListItem(list)
		switch {
		case len(name) == 0:
		case string(name) == "*" || !message.IsToken(name) || len(a.vary) == maxVary:
			a.varyAll = true
		default:
			a.vary = append(a.vary, string(message.AppendLower(nil, name)))
		}
	}
}

// addTags adds the tags of a list that a byte separates.
func (a *answered) addTags(list []byte, separator byte) {
	for len(list) > 0 && len(a.tags) < maxTags {
		end := 0
		for end < len(list) && list[end] != separator {
			end++
		}
		if tag := message.TrimSpace(list[:end]); len(tag) > 0 && len(tag) <= maxTag {
			a.tags = append(a.tags, string(tag))
		}
		list = after(list, end)
	}
}

// dateLayouts are the formats of dates (RFC 9110 section 5.6.7).
var dateLayouts = [...]string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC, "Mon Jan 02 15:04:05 2006"}

// parseDate reads an HTTP date as Unix seconds; none if it is invalid. Letters may be in any case. The library accepts more spaces and
// fewer digits than the formats have, so that the result is compared with the text.
func parseDate(b []byte) int64 {
	if len(b) == 0 || len(b) > len("Wednesday, 01-Jan-25 00:00:00 GMT") {
		return none
	}
	text := string(b)
	if end := len(text) - len("GMT"); end > 0 && strings.EqualFold(text[end:], "GMT") {
		text = text[:end] + "GMT"
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, text); err == nil && strings.EqualFold(afterDay(t.Format(layout)), afterDay(text)) {
			if t.Unix() < 0 {
				return none
			}
			return t.Unix()
		}
	}
	return none
}

// afterDay returns a date without the day of the week, which may be wrong.
func afterDay(date string) string {
	_, rest, _ := strings.Cut(date, " ")
	return rest
}

// lifetime returns for how many seconds after its generation a response is fresh (RFC 9111 section 4.2.1), and whether the response says so
// itself. ttl is for a response that does not.
func (a *answered) lifetime(now int64, ttl int64) (lifetime int64, explicit bool) {
	switch c := &a.control; {
	case c.sharedMaxAge != none:
		return c.sharedMaxAge, true
	case c.maxAge != none:
		return c.maxAge, true
	case a.expires != none && !a.targeted:
		date := a.date
		if date == none {
			date = now / second
		}
		return min(max(a.expires-date, 0), longest), true
	}
	return ttl, false
}

// initialAge returns the age of a response on receipt, in seconds (RFC 9111 section 4.2.3). The delay of the response is counted too:
// asked is when the request was sent.
func (a *answered) initialAge(asked, now int64) int64 {
	apparent := int64(0)
	if a.date != none {
		apparent = max(now/second-a.date, 0)
	}
	return max(apparent, a.age+max(now-asked, 0)/second)
}

// understood reports whether the meaning of a status is known, as must-understand requires (RFC 9111 section 5.2.2.3).
func understood(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// particular reports whether a response with that status is about something of its request that is not in the key, such as its Range or
// the size of its fields. One client could have it stored for all.
func particular(status int) bool {
	switch status {
	case 400, 401, 407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431:
		return true
	}
	return false
}

// lasting reports whether a response with that status may be stored although it does not say for how long.
func lasting(status int) bool {
	return status == 200 || status == 203 || status == 301 || status == 308
}
