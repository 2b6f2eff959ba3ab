package server_test

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"lb/internal/lbtest"
)

// TestSmuggling sends each known mutation of the framing fields. A backend that forgives nothing must
// read no request but those that lb took for one, and each of them in a form that leaves no choice.
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
	answers := make([]lbtest.Response, len(attacks))
	var sending sync.WaitGroup
	for client := range clients {
		sending.Go(func() {
			for i := client; i < len(attacks); i += clients {
				answers[i] = attack(t, lb.addr(), attacks[i], attackPath(i))
			}
		})
	}
	sending.Wait()
	lb.stop() // so that the backend reads to the end of each connection
	b.Rest(t)

	for _, fault := range backend.faults {
		t.Error(fault)
	}
	refused := 0
	for i, a := range attacks {
		request, relayed := backend.read[attackPath(i)]
		status := answers[i].Status()
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
			t.Errorf("%s: answer %d, relayed: %v", a.Name, status, relayed)
		}
		delete(backend.read, attackPath(i))
	}
	if refused == 0 || refused == len(attacks) {
		t.Errorf("%d of %d were refused", refused, len(attacks))
	}
	t.Logf("%d attacks, %d refused, %d relayed as one request", len(attacks), refused, len(attacks)-refused)
	for path, r := range backend.read {
		// What followed in the client's stream on a connection that goes on is a request of its own; lb has
		// read and marked it as such.
		if path != lbtest.SmuggledPath {
			t.Errorf("the backend read %q", r.head)
		}
	}
}

func attackPath(i int) string { return "/p/" + strconv.Itoa(i) }

// attack sends one and returns the answer; after a refusal the connection must end.
func attack(t *testing.T, address string, a lbtest.Attack, path string) lbtest.Response {
	c := lbtest.Dial(t, address)
	defer c.Close()
	c.Send(a.Raw(path))
	r := c.ReadResponse("POST")
	if r.Err != nil {
		t.Errorf("%s: no whole answer: %v", a.Name, r.Err)
	}
	if r.Status() >= 400 || a.Closes {
		if rest, orderly := c.Ended(); rest != "" || !orderly {
			t.Errorf("%s: after a %d the connection goes on with %q, orderly: %v", a.Name, r.Status(), rest, orderly)
		}
	}
	return r
}

// unambiguous says why the attack can be read in more than one way, nil if it cannot.
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

// is says how the request differs from what the attack may at most have meant.
func (r strictRequest) is(a lbtest.Attack) error {
	want := a.ByLength
	if r.chunked {
		want = a.ByChunks
	}
	if r.body != want {
		return fmt.Errorf("the backend read the body %q, want %q, behind %q", r.body, want, r.head)
	}
	return nil
}

// strictBackend keeps the requests by their path, and what else it was sent.
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
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			s.faults = append(s.faults, fmt.Sprintf("the backend was sent %q: %v", r.head, err))
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		c.Send(lbtest.OK("x"))
	}
}

// keep refuses what lb has not marked, and what it sent twice.
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

// read reads one request. io.EOF says that there is none, io.ErrUnexpectedEOF that it was broken off.
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

// line judges one line of the head: RFC 9112 with nothing of what it allows a recipient to forgive.
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
	// An underscore is a dash to whoever makes environment variables of fields.
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
