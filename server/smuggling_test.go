package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// TestSmuggling sends each known mutation of the framing fields. A strict backend must get only the requests that lb has
// recognized, each in an unambiguous form.
func TestSmuggling(t *testing.T) {
	backend := &strictBackend{read: map[string]strictRequest{}}
	b := lbtest.NewBackend(t, backend.serve)
	lb := start(t, `limits {
  header_timeout    = "3s"
  body_idle_timeout = "3s"
}
`+proxyTo("eject {\n  failures = 1000000\n}", b.Addr))
	attacks := lbtest.Attacks()
	const clients = 16
	responses := make([]lbtest.Response, len(attacks))
	var sending sync.WaitGroup
	for client := range clients {
		sending.Go(func() {
			for i := client; i < len(attacks); i += clients {
				responses[i] = attack(t, lb.addr(), attacks[i], attackPath(i))
			}
		})
	}
	sending.Wait()
	lb.stop() // the backend then reads to the end of each connection
	b.WaitIdle(t)

	for _, fault := range backend.faults {
		t.Error(fault)
	}
	refused := 0
	for i, a := range attacks {
		request, relayed := backend.read[attackPath(i)]
		status := responses[i].Status()
		switch {
		case status == 200 && relayed:
			if err := request.is(a); err != nil {
				t.Errorf("%s: %v", a.Name, err)
			}
			if err := unambiguous(a); err != nil {
				t.Errorf("%s: relayed, but %v", a.Name, err)
			}
		case status >= 400 && status < 500 && !relayed:
			if unambiguous(a) == nil {
				t.Errorf("%s: refused with %d, but there is but one way to read it", a.Name, status)
			}
			refused++
		default:
			t.Errorf("%s: response %d, relayed: %v", a.Name, status, relayed)
		}
		delete(backend.read, attackPath(i))
	}
	if refused == 0 || refused == len(attacks) {
		t.Errorf("%d of %d were refused", refused, len(attacks))
	}
	t.Logf("%d attacks, %d refused, %d relayed as one request", len(attacks), refused, len(attacks)-refused)
	for path, r := range backend.read {
		// If the connection continues, the rest of the client's stream is a separate request, which lb has read
		// and marked as such.
		if path != lbtest.SmuggledPath {
			t.Errorf("the backend read %q", r.head)
		}
	}
}

func attackPath(i int) string { return "/p/" + strconv.Itoa(i) }

// attack sends one and returns the response. After a refusal the connection must end.
func attack(t *testing.T, address string, a lbtest.Attack, path string) lbtest.Response {
	c := lbtest.Dial(t, address)
	defer c.Close()
	c.Send(a.Raw(path))
	r := c.ReadResponse("POST")
	if r.Err != nil {
		t.Errorf("%s: no complete response: %v", a.Name, r.Err)
	}
	if r.Status() >= 400 || a.Closes {
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%s: after a %d the connection continues with %q, orderly: %v", a.Name, r.Status(), rest, orderly)
		}
	}
	return r
}

// unambiguous returns an error that says why the attack is ambiguous, nil if it is not.
func unambiguous(a lbtest.Attack) error {
	r := strictRequest{byClient: true}
	return r.read(bufio.NewReader(strings.NewReader(a.Raw("/"))))
}

// strictRequest is a request in the one form that every server reads alike.
type strictRequest struct {
	head, body string
	lengths    int
	chunked    bool
	marks      int  // X-Request-Id fields
	byClient   bool // not yet through lb, which drops twins and spells the coding its own way
}

// is returns how the request differs from the only valid interpretation of the attack.
func (r strictRequest) is(a lbtest.Attack) error {
	want := a.ByLength
	if r.chunked {
		want = a.ByChunks
	}
	if r.body != want {
		return fmt.Errorf("the backend read the body %q, want %q, after %q", r.body, want, r.head)
	}
	return nil
}

// strictBackend records the requests by path, and everything else that it got.
type strictBackend struct {
	mu     sync.Mutex
	read   map[string]strictRequest
	faults []string
}

func (s *strictBackend) serve(c *lbtest.Conn) {
	in := bufio.NewReader(c)
	for {
		var r strictRequest
		err := r.read(in)
		_, rest, _ := strings.Cut(r.head, " ")
		path, _, _ := strings.Cut(rest, " ")
		s.mu.Lock()
		if err == nil {
			err = s.keep(path, r)
		}
		idle := r.head == "" && errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF && !idle {
			s.faults = append(s.faults, fmt.Sprintf("the backend was sent %q: %v", r.head, err))
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		c.Send(lbtest.OK("x"))
	}
}

// keep rejects what lb has not marked, and what arrived twice.
func (s *strictBackend) keep(path string, r strictRequest) error {
	if _, twice := s.read[path]; twice && path != lbtest.SmuggledPath {
		return fmt.Errorf("%s came twice", path)
	}
	if r.marks != 1 {
		return fmt.Errorf("it bears %d marks of lb", r.marks)
	}
	s.read[path] = r
	return nil
}

// read reads one request. io.EOF means that there is none, io.ErrUnexpectedEOF that it was truncated.
func (r *strictRequest) read(in *bufio.Reader) (err error) {
	for {
		line, err := in.ReadString('\n')
		if r.head += line; err != nil {
			if r.head != "" {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if line == "\r\n" {
			break
		}
		if err := r.line(line, len(r.head) == len(line)); err != nil {
			return err
		}
	}
	switch {
	case r.chunked && r.lengths > 0 || r.lengths > 1:
		return fmt.Errorf("its length is said twice")
	case r.chunked:
		r.body, err = readStrictChunks(in)
	case r.lengths == 1:
		r.body, err = readLength(in, lbtest.Fields(r.head, "Content-Length")[0])
	}
	return err
}

// line checks one line of the head by RFC 9112, without anything that a recipient may tolerate.
func (r *strictRequest) line(line string, first bool) error {
	text, crlf := strings.CutSuffix(line, "\r\n")
	if !crlf || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return fmt.Errorf("the line %q holds a control byte or does not end in CRLF", line)
	}
	if first {
		if parts := strings.Split(text, " "); len(parts) != 3 || !strings.HasPrefix(parts[1], "/") || parts[2] != "HTTP/1.1" {
			return fmt.Errorf("%q is no request line", line)
		}
		return nil
	}
	name, value, colon := strings.Cut(text, ":")
	const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if !colon || name == "" || strings.Trim(name, token) != "" {
		return fmt.Errorf("%q is no field", line)
	}
	value = strings.Trim(value, " \t")
	twin := strings.Contains(name, "_")
	if twin && r.byClient {
		return nil
	}
	// An underscore equals a dash for applications that get fields as environment variables.
	switch strings.ReplaceAll(strings.ToLower(name), "_", "-") {
	case "transfer-encoding":
		if r.byClient {
			value = strings.ToLower(value)
		}
		if twin || value != "chunked" || r.chunked {
			return fmt.Errorf("%q may be read in two ways", line)
		}
		r.chunked = true
	case "content-length":
		if twin || value == "" || strings.Trim(value, "0123456789") != "" {
			return fmt.Errorf("%q may be read in two ways", line)
		}
		r.lengths++
	case "x-request-id":
		r.marks++
	}
	return nil
}

func readLength(in *bufio.Reader, length string) (body string, err error) {
	n, err := strconv.ParseUint(length, 10, 31)
	if err != nil {
		return "", err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return "", io.ErrUnexpectedEOF
	}
	return string(b), nil
}

func readStrictChunks(in *bufio.Reader) (body string, err error) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return body, io.ErrUnexpectedEOF
		}
		size, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
		if err != nil {
			return body, fmt.Errorf("%q is no chunk size", line)
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return body, io.ErrUnexpectedEOF
		}
		if string(chunk[size:]) != "\r\n" {
			return body, fmt.Errorf("%q does not end its chunk", chunk)
		}
		if size == 0 {
			return body, nil
		}
		body += string(chunk[:size])
	}
}
