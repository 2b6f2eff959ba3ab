// Package answer words the answers that the balancer gives itself: errors, refusals, maintenance.
package answer

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"strconv"

	"lb/internal/wire"
)

// Body returns the body of an answer and its media type: HTML where accept (the
// request's Accept field) prefers it, JSON where it prefers that, else one line
// of text. reason is one sentence for a person and may be empty.
func Body(accept []byte, status int, reason string, requestID []byte) (body []byte, mediaType string) {
	title := http.StatusText(status)
	if reason == "" {
		reason = title
	}
	switch preferred(accept) {
	case "html":
		return fmt.Appendf(nil, page, status, title, status, title, html.EscapeString(reason), html.EscapeString(string(requestID))), "text/html; charset=utf-8"
	case "json":
		return fmt.Appendf(nil, "{\"error\":%s,\"status\":%d,\"request_id\":%s}\n",
			quote(reason), status, quote(string(requestID))), "application/json"
	}
	return fmt.Appendf(nil, "%d %s: %s\n", status, title, reason), "text/plain; charset=utf-8"
}

// quote makes a JSON string of text that the balancer wrote or checked itself.
func quote(s string) string { return strconv.QuoteToASCII(s) }

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%d %s</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34em;padding:0 1em;color:#222}
h1{font-weight:600}small{color:#777}@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}}</style>
</head><body><h1>%d %s</h1><p>%s</p><p><small>%s</small></p></body></html>
`

// preferred returns "html", "json" or "text" by the quality values of an Accept
// field (RFC 9110 section 12.5.1). Ties go to the one named first; a bare */* is text.
func preferred(accept []byte) string {
	best, bestQ := "text", 0
	for len(accept) > 0 {
		var item []byte
		item, accept, _ = bytes.Cut(accept, []byte(","))
		media, params, _ := bytes.Cut(item, []byte(";"))
		media = wire.TrimSpace(media)
		kind := ""
		switch {
		case wire.EqualFold(media, "text/html"), wire.EqualFold(media, "application/xhtml+xml"):
			kind = "html"
		case wire.EqualFold(media, "application/json"):
			kind = "json"
		case wire.EqualFold(media, "text/plain"):
			kind = "text"
		default:
			continue
		}
		if q := quality(params); q > bestQ {
			best, bestQ = kind, q
		}
	}
	return best
}

// quality returns a weight in thousandths; 1000 if there is none, 0 if it cannot be read.
func quality(params []byte) int {
	for len(params) > 0 {
		var param []byte
		param, params, _ = bytes.Cut(params, []byte(";"))
		name, value, ok := bytes.Cut(wire.TrimSpace(param), []byte("="))
		if !ok || !wire.EqualFold(wire.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(string(wire.TrimSpace(value)), 64)
		if err != nil || q < 0 || q > 1 {
			return 0
		}
		return int(q * 1000)
	}
	return 1000
}
