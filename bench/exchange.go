package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// exchangeLimit bounds one request and its answer: nothing here takes longer unless it hangs.
const exchangeLimit = 10 * time.Second

// client is one kept connection that asks for the same thing again and again. It allocates nothing per
// request, so that the load generator takes as little as it can from the cores that it shares with the balancer.
type client struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func dialClient(address, path string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, exchangeLimit)
	if err != nil {
		return nil, err
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, address)
	return &client{conn: conn, reader: bufio.NewReaderSize(conn, 4096), request: []byte(request)}, nil
}

// exchange sends the request and reads the answer, which must be a 200 with a Content-Length.
func (c *client) exchange() error {
	if err := c.conn.SetDeadline(time.Now().Add(exchangeLimit)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return readAnswer(c.reader)
}

var (
	errNoOK     = errors.New("the answer is not 200")
	errNoLength = errors.New("the answer has no Content-Length")
)

// readAnswer consumes one response, whose head lines must fit the reader's buffer.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return errNoOK
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errNoLength
	}
	_, err = r.Discard(length)
	return err
}

// newHTTPClient is for everything that is not measured per request. It believes any certificate: ours is
// made by the run itself.
func newHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
	}}
}
