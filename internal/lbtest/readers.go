package lbtest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// Request is a request as a reader understands it: what determines its routing and its end.
type Request struct {
	Method, Target, Host string
	Chunked              bool
	Body                 string
}

// Reader is one way to read a stream of requests. Its error is the first request's that it refuses
// or finds cut off; it then returns those before it.
type Reader struct {
	Name string
	Read func(stream []byte) ([]Request, error)
}

// Readers returns parsers that have nothing in common with each other: what a balancer passes on must be
// the same to all of them, or one's body is the other's next request.
func Readers() []Reader {
	return []Reader{{"the grammar", readByGrammar}, {"net/http", readByNetHTTP}, {"fasthttp", readByFasthttp}}
}

func readByGrammar(stream []byte) (all []Request, err error) {
	for rest := string(stream); rest != ""; {
		var m Message
		if m, rest, err = ParseRequest(rest); err != nil {
			return all, err
		}
		all = append(all, Request{m.Method, m.Target, strings.Join(m.Values("Host"), ""), m.Framing == "chunked", m.Body})
	}
	return all, nil
}

func readByNetHTTP(stream []byte) (all []Request, err error) {
	for r := bufio.NewReaderSize(bytes.NewReader(stream), len(stream)+16); ; {
		if _, err := r.Peek(1); err == io.EOF {
			return all, nil
		}
		req, err := http.ReadRequest(r)
		if err != nil {
			return all, err
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return all, err
		}
		all = append(all, Request{req.Method, req.RequestURI, req.Host, len(req.TransferEncoding) > 0, string(body)})
	}
}

func readByFasthttp(stream []byte) (all []Request, err error) {
	for r := bufio.NewReaderSize(bytes.NewReader(stream), len(stream)+16); ; {
		if _, err := r.Peek(1); err == io.EOF {
			return all, nil
		}
		req := &fasthttp.Request{}
		h := &req.Header
		if err := h.Read(r); err != nil {
			return all, err
		}
		chunked := h.ContentLength() == -1
		// What a client expects of the next hop, and what is in a form, change no framing.
		if err := req.ContinueReadBody(r, 0, false); err != nil {
			return all, err
		}
		all = append(all, Request{string(h.Method()), string(h.RequestURI()), string(h.Host()), chunked, string(req.Body())})
	}
}

// Stricter reports whether a reader's error is one of those with which it refuses what is sound
// by RFC 9112. That is harmless: a rejected request cannot be interpreted differently.
func Stricter(err error) bool {
	var target *url.Error
	if errors.As(err, &target) {
		return true // net/http requires valid escapes in a path, and a host without unusual bytes
	}
	for _, class := range []string{
		"forbidden trailer", "bad trailer key", // names that only they keep out of a Trailer field
	} {
		if strings.Contains(err.Error(), class) {
			return true
		}
	}
	return false
}

// Reply is a final response as a reader understands it.
type Reply struct {
	Status int
	Body   string
}

// ReplyReader is one way to read a stream of responses that ends with the connection. methods are those of the
// requests to which they respond; interim responses are left out.
type ReplyReader struct {
	Name string
	Read func(stream []byte, methods []string) ([]Reply, error)
}

// ReplyReaders is to responses what Readers is to requests.
func ReplyReaders() []ReplyReader {
	return []ReplyReader{{"the grammar", repliesByGrammar}, {"net/http", repliesByNetHTTP}, {"fasthttp", repliesByFasthttp}}
}

// ErrSurplus says that a stream continues after the response to the last request.
var ErrSurplus = errors.New("there are more responses than requests")

func repliesByGrammar(stream []byte, methods []string) (all []Reply, err error) {
	rest := string(stream)
	for rest != "" {
		if len(methods) == 0 {
			return all, ErrSurplus
		}
		var m Message
		if m, rest, err = ParseResponse(methods[0], rest, true); err != nil {
			return all, err
		}
		if m.Status >= 200 || m.Status == 101 {
			all, methods = append(all, Reply{m.Status, m.Body}), methods[1:]
		}
		if m.Status == 101 {
			return all, nil // what follows is no HTTP
		}
	}
	return all, nil
}

func repliesByNetHTTP(stream []byte, methods []string) (all []Reply, err error) {
	for r := bufio.NewReaderSize(bytes.NewReader(stream), len(stream)+16); ; {
		if _, err := r.Peek(1); err == io.EOF {
			return all, nil
		}
		if len(methods) == 0 {
			return all, ErrSurplus
		}
		response, err := http.ReadResponse(r, &http.Request{Method: methods[0]})
		if err != nil {
			return all, err
		}
		if response.StatusCode < 200 && response.StatusCode != 101 {
			continue
		}
		if response.StatusCode == 101 {
			return append(all, Reply{101, ""}), nil
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return all, err
		}
		all, methods = append(all, Reply{response.StatusCode, string(body)}), methods[1:]
	}
}

func repliesByFasthttp(stream []byte, methods []string) (all []Reply, err error) {
	for r := bufio.NewReaderSize(bytes.NewReader(stream), len(stream)+16); ; {
		if _, err := r.Peek(1); err == io.EOF {
			return all, nil
		}
		if len(methods) == 0 {
			return all, ErrSurplus
		}
		var response fasthttp.Response
		response.SkipBody = methods[0] == "HEAD"
		start, _ := r.Peek(len("HTTP/1.1 100"))
		onlyContinue := string(start) == "HTTP/1.1 100" // it is read over together with what follows it
		if err := response.Read(r); err == io.EOF && onlyContinue {
			return all, nil
		} else if err != nil {
			return all, err
		}
		status := response.StatusCode()
		if status < 200 && status != 101 {
			continue
		}
		if status == 101 {
			return append(all, Reply{101, ""}), nil
		}
		all, methods = append(all, Reply{status, string(response.Body())}), methods[1:]
	}
}
