//go:build e2e

package chaos

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Every request of the torture test has a token of its own in its target, fields, cookie, body and trailers, and
// all that a backend sends for it has the same one. A token in the wrong place shows a mix-up.
var tokenPattern = regexp.MustCompile(`tok-[0-9a-f]{16}-`)

// tokenOf returns the token of a request by its number, which says in two digits what the backend will do with it.
func tokenOf(misdeed int, n uint64) string { return fmt.Sprintf("tok-%02x%014x-", misdeed, n) }

// misdeedOf returns the backend's misbehaviour for the request of a token.
func misdeedOf(token string) string {
	i, err := strconv.ParseUint(token[4:6], 16, 8)
	if err != nil || int(i) >= len(misdeeds) {
		return "nothing"
	}
	return misdeeds[i]
}

// tokenBody returns n bytes of token, repeated.
func tokenBody(token string, n int) []byte {
	return bytes.Repeat([]byte(token), n/len(token)+1)[:n]
}

// misdeeds are the ways in which a hostile backend misbehaves.
var misdeeds = []string{
	"length", "length", "length", "chunked", "chunked", "close", "interim", "slow",
	"late", "late", "late", "excess", "short", "cut-chunks", "garbage", "reset", "silent",
	"early", "switch", "twice", "unavailable", "long-head", "bad-length", "bad-chunk",
}

// hostile is a backend that breaks the rules of HTTP in the way that each request asks for.
type hostile struct {
	ln    net.Listener
	group sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	mixed []string // requests that were mixed with others
}

func startHostile(address string) (*hostile, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	h := &hostile{ln: ln, conns: map[net.Conn]bool{}}
	h.group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.conns[conn] = true
			h.mu.Unlock()
			h.group.Go(func() {
				h.serve(conn)
				conn.Close()
				h.mu.Lock()
				delete(h.conns, conn)
				h.mu.Unlock()
			})
		}
	})
	return h, nil
}

func (h *hostile) close() {
	h.ln.Close()
	h.mu.Lock()
	for conn := range h.conns {
		conn.Close()
	}
	h.mu.Unlock()
	h.group.Wait()
}

func (h *hostile) report(format string, args ...any) {
	h.mu.Lock()
	h.mixed = append(h.mixed, fmt.Sprintf(format, args...))
	h.mu.Unlock()
}

// serve reads requests until one ends the connection.
func (h *hostile) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		q, err := http.ReadRequest(r)
		if err != nil {
			if _, timeout := err.(net.Error); !timeout && err != io.EOF && err != io.ErrUnexpectedEOF {
				h.report("not a request: %v", err)
			}
			return
		}
		query := q.URL.Query()
		a := &abuse{conn: conn, token: query.Get("t"), head: q.Method == http.MethodHead}
		a.size, _ = strconv.Atoi(query.Get("size"))
		do := query.Get("do")
		if do == "early" && !a.respondEarly() {
			return
		}
		if !h.whole(q, a.token) {
			return
		}
		if do != "early" && !a.do(do) {
			return
		}
	}
}

// whole reads the rest of a request and checks that every part of it belongs to the same one. It reports false where
// the request was cut off.
func (h *hostile) whole(q *http.Request, token string) bool {
	for name, values := range q.Header {
		for _, value := range values {
			for _, found := range tokenPattern.FindAllString(value, -1) {
				if found != token {
					h.report("request of %s has %s in %s", token, found, name)
				}
			}
		}
	}
	if q.Header.Get("X-Token") != token {
		h.report("request of %s has X-Token %q", token, q.Header.Get("X-Token"))
	}
	body, err := io.ReadAll(q.Body)
	if !bytes.Equal(body, tokenBody(token, len(body))) {
		h.report("the body of %s is corrupted", token)
	}
	if trailer := q.Trailer.Get("X-Trailer-Token"); trailer != "" && trailer != token {
		h.report("request of %s has the trailer of %s", token, trailer)
	}
	return err == nil
}

// abuse is the response to one request.
type abuse struct {
	conn  net.Conn
	token string
	size  int
	head  bool // the request is HEAD
}

// write reports whether the connection stays open.
func (a *abuse) write(format string, args ...any) bool {
	_, err := fmt.Fprintf(a.conn, format, args...)
	return err == nil
}

// respond writes a proper response, framed by its length.
func (a *abuse) respond(status string) bool {
	body := tokenBody(a.token, a.size)
	if a.head {
		body = nil
	}
	return a.write("HTTP/1.1 %s\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s", status, a.token, a.size, body)
}

// respondEarly responds before the request's body has been read.
func (a *abuse) respondEarly() bool { return a.respond("200 OK") }

// do responds as the request asks for and reports whether the connection stays open.
func (a *abuse) do(what string) bool {
	body := tokenBody(a.token, a.size)
	switch what {
	case "chunked", "bad-chunk", "cut-chunks":
		return a.chunked(what, body)
	case "close":
		a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nConnection: close\r\n\r\n", a.token)
		if !a.head {
			_, _ = a.conn.Write(body)
		}
		return false
	case "interim":
		return a.write("HTTP/1.1 103 Early Hints\r\nX-Token: %s\r\n\r\n", a.token) && a.respond("200 OK")
	case "slow":
		return a.slow(body)
	case "late":
		return a.late()
	case "excess":
		body = body[:min(len(body), 1000)]
		return a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s%s", a.token, len(body), body, a.forged())
	case "short":
		a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s", a.token, a.size+100, body)
		return false
	case "garbage":
		a.write("%s%s\r\n\r\n", strings.Repeat("\x00\xff", a.size%50), a.token)
		return false
	case "reset":
		_ = a.conn.(*net.TCPConn).SetLinger(0)
		return false
	case "silent":
		_, _ = a.conn.Read(make([]byte, 1)) // until the response timeout ends the connection
		return false
	case "switch":
		return a.write("HTTP/1.1 101 Switching Protocols\r\nX-Token: %s\r\nConnection: upgrade\r\nUpgrade: %s\r\n\r\n%s", a.token, a.token, a.token)
	case "twice":
		return a.write("%s%s", a.forged(), a.forged())
	case "unavailable":
		return a.respond("503 Service Unavailable")
	case "long-head":
		return a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nX-Long: %s\r\nContent-Length: 0\r\n\r\n", a.token, tokenBody(a.token, 64<<10))
	case "bad-length":
		a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\n%s", a.token, a.token)
		return false
	}
	return a.respond("200 OK")
}

func (a *abuse) chunked(how string, body []byte) bool {
	if !a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nTransfer-Encoding: chunked\r\n\r\n", a.token) || a.head {
		return !a.head || how == "chunked"
	}
	for len(body) > 0 {
		piece := body[:min(len(body), 7000)]
		body = body[len(piece):]
		if how == "cut-chunks" && len(body) == 0 {
			a.write("%x\r\n%s", len(piece)+5, piece)
			return false
		}
		if !a.write("%x\r\n%s\r\n", len(piece), piece) {
			return false
		}
	}
	if how == "bad-chunk" {
		a.write("%s\r\n", a.token)
		return false
	}
	return a.write("0\r\nX-Trailer-Token: %s\r\n\r\n", a.token)
}

// slow sends a body in pieces with pauses.
func (a *abuse) slow(body []byte) bool {
	if !a.write("HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n", a.token, len(body)) || a.head {
		return true
	}
	for len(body) > 0 {
		n := min(len(body), len(body)/4+1)
		time.Sleep(5 * time.Millisecond) // a slow backend, not a wait
		if _, err := a.conn.Write(body[:n]); err != nil {
			return false
		}
		body = body[n:]
	}
	return true
}

// mostLate is well below the time for which lb keeps a connection on probation.
const mostLate = 70 * time.Millisecond

// late sends a response without a body and, some time later, an unexpected body that is another response.
func (a *abuse) late() bool {
	size := max(a.size, 1) // a HEAD response that announces an empty body ends there
	status := "200 OK"
	if !a.head {
		status = []string{"204 No Content", "304 Not Modified"}[size%2]
	}
	field := ""
	if status != "204 No Content" {
		field = fmt.Sprintf("Content-Length: %d\r\n", size)
	}
	if !a.write("HTTP/1.1 %s\r\nX-Token: %s\r\n%s\r\n", status, a.token, field) {
		return false
	}
	began := time.Now()
	time.Sleep(time.Duration(rand.IntN(50_000)) * time.Microsecond) // the lateness is what is tested
	if time.Since(began) > mostLate {
		return false // on a busy machine; lb does not promise to find bytes that arrive this late
	}
	return a.write("%s", a.forged())
}

// forged is a whole response, which must not be taken for that to another request.
func (a *abuse) forged() string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Token: %s\r\nContent-Length: %d\r\n\r\n%s", a.token, len(a.token), a.token)
}
