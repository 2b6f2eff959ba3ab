package lbtest

import (
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Dial connects a client; the connection ends with the test.
func Dial(t testing.TB, address string) *Conn {
	t.Helper()
	kind, rest := network(address)
	nc, err := net.Dial(kind, rest)
	if err != nil {
		t.Fatalf("cannot connect: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return newConn(nc)
}

// DialTLS is Dial through TLS.
func DialTLS(t testing.TB, address string, conf *tls.Config) *Conn {
	t.Helper()
	network, rest := network(address)
	nc, err := tls.Dial(network, rest, conf)
	if err != nil {
		t.Fatalf("cannot connect: %v", err)
	}
	t.Cleanup(func() { nc.Close() })
	return newConn(nc)
}

// Get sends one request on a new connection that ends after it, and returns the response.
func Get(t testing.TB, address, path string, lines ...string) Response {
	t.Helper()
	c := Dial(t, address)
	defer c.Close()
	extra, hosted := "", false
	for _, line := range lines {
		extra += line + "\r\n"
		hosted = hosted || strings.HasPrefix(strings.ToLower(line), "host:")
	}
	if !hosted {
		extra += "Host: test\r\n"
	}
	c.Send("GET " + path + " HTTP/1.1\r\n" + extra + "Connection: close\r\n\r\n")
	return c.ReadResponse("GET")
}

// Eventually polls cond until it holds, and fails the test with what it waits for if that takes too long.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// Respond returns a script that responds to every request with the same response.
func Respond(response string) func(*Conn) {
	return func(c *Conn) {
		for {
			if head, _ := c.ReadRequest(); head == "" {
				return
			}
			c.Send(response)
		}
	}
}

// OK makes a 200 response with that body.
func OK(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// TryDial returns a connection, nil if there is none to be had.
func TryDial(address string) net.Conn {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil
	}
	return nc
}
