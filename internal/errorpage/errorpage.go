// Package errorpage makes the bodies of lb's own error responses.
package errorpage

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"strconv"

	"lb/message"
)

// Body returns the body of an error response and its media type: HTML or JSON if accept (the request's Accept fields as one list)
// prefers that, else one line of text. reason is a sentence for people and may be empty.
func Body(accept []byte, status int, reason string, requestID []byte) (body []byte, mediaType string) {
	title := http.StatusText(status)
	if reason == "" {
		reason = title
	}
	switch preferred(accept) {
	case asHTML:
		return fmt.Appendf(nil, page, status, title, status, title, html.EscapeString(reason), html.EscapeString(string(requestID))), "text/html; charset=utf-8"
	case asJSON:
		return fmt.Appendf(nil, "{\"error\":%s,\"status\":%d,\"request_id\":%s}\n",
			quote(reason), status, quote(string(requestID))), "application/json"
	}
	return fmt.Appendf(nil, "%d %s: %s\n", status, title, reason), "text/plain; charset=utf-8"
}

// Fill replaces {status} and {request_id} in a page. A page without them is returned as it is.
func Fill(page []byte, status int, requestID []byte) []byte {
	for _, p := range [...]struct{ name, value string }{
		{"{status}", strconv.Itoa(status)}, {"{request_id}", html.EscapeString(string(requestID))},
	} {
		if bytes.Contains(page, []byte(p.name)) {
			page = bytes.ReplaceAll(page, []byte(p.name), []byte(p.value))
		}
	}
	return page
}

// quote makes a JSON string of lb's own text, or of a checked request ID.
func quote(s string) string { return strconv.QuoteToASCII(s) }

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%d %s</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34em;padding:0 1em;color:#222}
h1{font-weight:600}small{color:#777}@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}}</style>
</head><body><h1>%d %s</h1><p>%s</p><p><small>%s</small></p></body></html>
`

// The forms of a body, in order of preference if Accept does not decide.
const (
	asText = iota
	asHTML
	asJSON
	forms
)

// PrefersJSON reports whether an Accept field prefers JSON to HTML and text.
func PrefersJSON(accept []byte) bool { return preferred(accept) == asJSON }

// match is the best media range for a form so far.
type match struct {
	precision int // 0: none does; 1: */*; 2: text/* and the like; 3: the form itself
	quality   int // in thousandths
	at        int // in the list
}

// MaxAccept is how many bytes of a list of media ranges are read. Browsers send less than 200.
const MaxAccept = 1024

// preferred returns the form that an Accept field prefers: the one with the highest quality, which is that of the
// range that names it most precisely (RFC 9110 section 12.5.1). Ties go to the one named first.
func preferred(accept []byte) int {
	var decisive [forms]match
	accept = accept[:min(len(accept), MaxAccept)]
	for at := 1; len(accept) > 0; at++ {
		var item []byte
		item, accept, _ = bytes.Cut(accept, []byte(","))
		media, params, _ := bytes.Cut(item, []byte(";"))
		media = message.TrimSpace(media)
		weight := -1 // unknown
		for form := range decisive {
			precise, best := precision(media, form), &decisive[form]
			if precise == 0 || precise < best.precision {
				continue
			}
			if weight < 0 {
				weight = quality(params)
			}
			m := match{precise, weight, at}
			if m.precision > best.precision || m.quality > best.quality {
				*best = m
			}
		}
	}
	best := asText
	for form, m := range decisive {
		b := decisive[best]
		if m.quality > b.quality || m.quality == b.quality && m.quality > 0 && m.at < b.at {
			best = form
		}
	}
	return best
}

// precision returns how precisely a media range matches a form; 0: not at all.
func precision(media []byte, form int) int {
	group, names := "text/*", [...]string{"text/plain", ""}
	switch form {
	case asHTML:
		names = [...]string{"text/html", "application/xhtml+xml"}
	case asJSON:
		group, names = "application/*", [...]string{"application/json", ""}
	}
	switch {
	case len(media) == 0:
		return 0
	case message.EqualFold(media, names[0]), message.EqualFold(media, names[1]):
		return 3
	case message.EqualFold(media, group):
		return 2
	case string(media) == "*/*":
		return 1
	}
	return 0
}

// quality returns a weight in thousandths; 1000 if there is none, 0 if it cannot be read.
func quality(params []byte) int {
	for len(params) > 0 {
		var param []byte
		param, params, _ = bytes.Cut(params, []byte(";"))
		name, value, ok := bytes.Cut(message.TrimSpace(param), []byte("="))
		if !ok || !message.EqualFold(message.TrimSpace(name), "q") {
			continue
		}
		return thousandths(message.TrimSpace(value))
	}
	return 1000
}

// thousandths parses a qvalue (RFC 9110 section 12.4.2). Digits after the third are ignored; an invalid qvalue is 0.
func thousandths(b []byte) int {
	whole, fraction, _ := bytes.Cut(b, []byte("."))
	if len(whole) > 1 || len(whole)+len(fraction) == 0 {
		return 0
	}
	digits := [4]byte{'0', '0', '0', '0'}
	copy(digits[1-len(whole):1], whole)
	copy(digits[1:], fraction)
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	if n > 1000 {
		return 0
	}
	return n
}
