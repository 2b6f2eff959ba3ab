package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// exchangeLimit bounds one request and its response: nothing here takes longer unless it hangs.
const exchangeLimit = 10 * time.Second

// client is one kept connection that repeats the same request. It allocates nothing per
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

// exchange sends the request and reads the response, which must be a 200 with a Content-Length.
func (c *client) exchange() error {
	if err := c.conn.SetDeadline(time.Now().Add(exchangeLimit)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return readResponse(c.reader)
}

var (
	errNoOK     = errors.New("the response is not 200")
	errNoLength = errors.New("the response has no Content-Length")
)

// readResponse consumes one response, whose head lines must fit the reader's buffer.
func readResponse(r *bufio.Reader) error {
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
