package http1

import (
	"net/http"
	"strconv"

	"lb/message"
)

// StatusLineStart is what every response head begins with, regardless of the client's version (RFC 9110 section 2.5).
const StatusLineStart = "HTTP/1.1 "

// statusLines contains a line like "HTTP/1.1 200 OK\r\n" for every status with a standard reason.
var statusLines = func() (lines [600][]byte) {
	for status := range lines {
		if text := http.StatusText(status); text != "" {
			lines[status] = []byte(StatusLineStart + strconv.Itoa(status) + " " + text + "\r\n")
		}
	}
	return lines
}()

func appendStatusLine(dst []byte, r *message.Response) []byte {
	if r.Status < len(statusLines) {
		line := statusLines[r.Status]
		const before = len(StatusLineStart) + len("200 ")
		if line != nil && (r.Reason == nil || string(r.Reason) == string(line[before:len(line)-2])) {
			return append(dst, line...)
		}
	}
	dst = strconv.AppendInt(append(dst, StatusLineStart...), int64(r.Status), 10)
	return append(append(append(dst, ' '), r.Reason...), '\r', '\n')
}

// AppendRequest appends the head of a request: its fields, and those that Length, Continue and Upgrade require.
func AppendRequest(dst []byte, r *message.Request) []byte {
	dst = append(append(dst, r.Method...), ' ')
	dst = append(append(dst, r.Target...), " HTTP/1.1\r\n"...)
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Kind != message.Trailer || r.Length < 0 {
			dst = append(dst, f.Line...)
		}
	}
	if r.Continue {
		dst = append(dst, "Expect: 100-continue\r\n"...)
	}
	switch {
	case r.Length < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case r.Announced:
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), r.Length, 10), '\r', '\n')
	}
	if len(r.Upgrade) > 0 {
		dst = append(append(append(dst, "Connection: Upgrade\r\nUpgrade: "...), r.Upgrade...), '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

// Recipient says how a response is sent to the client.
type Recipient struct {
	Minor int  // minor version of the request
	Head  bool // the method is HEAD: no body follows
	Close bool // the connection closes after the response
}

// AppendInterim appends the head of an interim response.
func AppendInterim(dst []byte, r *message.Response) []byte {
	dst = appendStatusLine(dst, r)
	for i := range r.Fields {
		dst = append(dst, r.Fields[i].Line...)
	}
	return append(dst, '\r', '\n')
}

// appendResponse appends the head of a final response or of a 101. It reports whether the body is sent in chunks, and sets to.Close if
// the body ends with the connection.
func appendResponse(dst []byte, r *message.Response, to *Recipient) (_ []byte, chunked bool) {
	dst = appendStatusLine(dst, r)
	upgrade := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Kind == message.Trailer && to.Minor == 0: // no chunks, no trailers
			continue
		case f.Kind == message.Upgrade && !upgrade:
			if upgrade = true; r.Status == http.StatusSwitchingProtocols {
				dst = append(dst, "Connection: Upgrade\r\n"...)
			}
		}
		dst = append(dst, f.Line...)
	}
	if r.Length < 0 {
		switch {
		case to.Minor > 0:
			dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
			chunked = !to.Head
		case !to.Head:
			to.Close = true
		}
	}
	dst = append(dst, connectionLine(r.Status, to, upgrade)...)
	return append(dst, '\r', '\n'), chunked
}

// connectionLine returns the Connection line of a response, "" if it needs none.
func connectionLine(status int, to *Recipient, upgrade bool) string {
	switch {
	case status == http.StatusSwitchingProtocols: // already added
		return ""
	case to.Close && upgrade:
		return "Connection: upgrade, close\r\n"
	case to.Close:
		return "Connection: close\r\n"
	case to.Minor == 0 && upgrade:
		return "Connection: upgrade, keep-alive\r\n"
	case to.Minor == 0:
		return "Connection: keep-alive\r\n"
	case upgrade:
		return "Connection: upgrade\r\n"
	}
	return ""
}
