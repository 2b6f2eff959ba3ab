package lbtest

import (
	"errors"
	"strconv"
	"strings"
)

// Message is a request or a response as RFC 9112 has it, read by the letter of its grammar. The reader
// is the tests' own, so that it shares no mistake with the code under test: slow, small and
// without mercy for anything that the grammar does not name.
type Message struct {
	Method, Target string // of a request
	Status         int    // of a response
	Minor          int    // of the version: 0 or 1
	Fields         [][2]string
	Framing        string // "none", "length", "chunked" or "close"
	Body           string // without chunk framing
}

var (
	// ErrGrammar means that the bytes do not begin a valid message.
	ErrGrammar = errors.New("not in RFC 9112's grammar")
	// ErrCut says that the bytes are the beginning of a message.
	ErrCut = errors.New("the message goes on")
)

// ParseRequest reads the request at the start of b and returns what follows it.
func ParseRequest(b string) (m Message, rest string, err error) {
	line, b, err := cutLine(b)
	if err != nil {
		return m, b, err
	}
	words := strings.Split(line, " ")
	if len(words) != 3 || !isToken(words[0]) || !isTarget(words[0], words[1]) {
		return m, b, ErrGrammar
	}
	m.Method, m.Target = words[0], words[1]
	version := words[2]
	if minor, ok := strings.CutPrefix(version, "HTTP/1."); ok && len(minor) == 1 && all(minor, "23456789") {
		version = "HTTP/1.1" // a higher version is read as the highest that is spoken (RFC 9110 section 2.5)
	}
	if m.Minor, err = minorOf(version); err != nil {
		return m, b, err
	}
	if m.Fields, b, err = parseFields(b); err != nil {
		return m, b, err
	}
	if hosts := len(m.Values("Host")); hosts > 1 || hosts == 0 && m.Minor == 1 {
		return m, b, ErrGrammar
	}
	rest, err = m.parseBody(b, "none")
	return m, rest, err
}

// ParseResponse reads the response to a request with that method at the start of b, an interim
// one as well. ended says that the connection ends with b.
func ParseResponse(method, b string, ended bool) (m Message, rest string, err error) {
	line, b, err := cutLine(b)
	if err != nil {
		return m, b, err
	}
	version, line, _ := strings.Cut(line, " ")
	status, reason, _ := strings.Cut(line, " ")
	if m.Minor, err = minorOf(version); err != nil {
		return m, b, err
	}
	if len(status) != 3 || !all(status, "0123456789") || status[0] == '0' || !isText(reason) {
		return m, b, ErrGrammar
	}
	m.Status, _ = strconv.Atoi(status)
	if m.Fields, b, err = parseFields(b); err != nil {
		return m, b, err
	}
	if method == "HEAD" || m.Status < 200 || m.Status == 204 || m.Status == 304 {
		m.Framing = "none"
		return m, b, nil
	}
	rest, err = m.parseBody(b, "close")
	if m.Framing == "close" {
		if m.Body = b; !ended {
			err = ErrCut
		}
	}
	return m, rest, err
}

// Values returns the values of the fields of that name, in their order.
func (m *Message) Values(name string) (values []string) {
	for _, f := range m.Fields {
		if strings.EqualFold(f[0], name) {
			values = append(values, f[1])
		}
	}
	return values
}

// parseBody reads a body by RFC 9112 section 6.3; unframed is what it is called without a length.
func (m *Message) parseBody(b, unframed string) (rest string, err error) {
	codings, lengths := m.Values("Transfer-Encoding"), m.Values("Content-Length")
	switch {
	case len(codings)+len(lengths) > 1, len(codings) > 0 && m.Minor == 0:
		return b, ErrGrammar
	case len(codings) == 1:
		if !strings.EqualFold(codings[0], "chunked") {
			return b, ErrGrammar
		}
		m.Framing = "chunked"
		m.Body, rest, err = parseChunks(b)
		return rest, err
	case len(lengths) == 1:
		n, err := strconv.ParseInt(lengths[0], 10, 64)
		if err != nil || !all(lengths[0], "0123456789") {
			return b, ErrGrammar
		}
		m.Framing = "length"
		if int64(len(b)) < n {
			return "", ErrCut
		}
		m.Body = b[:n]
		return b[n:], nil
	}
	m.Framing = unframed
	if unframed == "close" {
		return "", nil
	}
	return b, nil
}

func parseChunks(b string) (body, rest string, err error) {
	for {
		var line string
		if line, b, err = cutLine(b); err != nil {
			return body, b, err
		}
		size, extension, _ := strings.Cut(line, ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || !all(size, "0123456789abcdefABCDEF") || !isText(extension) {
			return body, b, ErrGrammar
		}
		if n == 0 {
			_, b, err = parseFields(b) // the trailer section
			return body, b, err
		}
		if int64(len(b))-2 < n {
			return body, "", ErrCut
		}
		if b[n:n+2] != "\r\n" {
			return body, b, ErrGrammar
		}
		body, b = body+b[:n], b[n+2:]
	}
}

// parseFields reads field lines and the blank line after them.
func parseFields(b string) (fields [][2]string, rest string, err error) {
	for {
		var line string
		if line, b, err = cutLine(b); err != nil || line == "" {
			return fields, b, err
		}
		name, value, found := strings.Cut(line, ":")
		if !found || !isToken(name) || !isText(value) {
			return fields, b, ErrGrammar
		}
		fields = append(fields, [2]string{name, strings.Trim(value, " \t")})
	}
}

func cutLine(b string) (line, rest string, err error) {
	line, rest, found := strings.Cut(b, "\n")
	if !found {
		return "", b, ErrCut
	}
	if line, found = strings.CutSuffix(line, "\r"); !found || strings.Contains(line, "\r") {
		return "", b, ErrGrammar
	}
	return line, rest, nil
}

func minorOf(version string) (int, error) {
	switch version {
	case "HTTP/1.0":
		return 0, nil
	case "HTTP/1.1":
		return 1, nil
	}
	return 0, ErrGrammar
}

// isTarget allows origin-form, absolute-form of http and https, and asterisk-form
// (RFC 9112 section 3.2); authority-form belongs to CONNECT, which no proxy here serves.
func isTarget(method, target string) bool {
	for _, c := range []byte(target) {
		if c <= ' ' || c > '~' || c == '#' {
			return false
		}
	}
	lower := strings.ToLower(target)
	return strings.HasPrefix(target, "/") || strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") ||
		target == "*" && method == "OPTIONS"
}

func isToken(s string) bool {
	return s != "" && all(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
}

// isText reports whether s holds no control byte but the tab.
func isText(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func all(s, allowed string) bool {
	for i := range len(s) {
		if strings.IndexByte(allowed, s[i]) < 0 {
			return false
		}
	}
	return true
}
