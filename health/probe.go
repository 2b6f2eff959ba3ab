package health

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"lb/internal/limits"
)

const (
	maxHead = 64 << 10 // bytes of a response head, interim responses included
	maxBody = limits.ProbeBody
	// maxRaw bounds the bytes that a chunked body of maxBody may take on the wire.
	maxRaw = 8 * maxBody
	// maxInterim is how many 1xx responses may precede the final one.
	maxInterim = 8
)

// exchange is the connection and the buffers of one probe. It is pooled.
type exchange struct {
	conn     net.Conn
	fit      bool // conn may serve another probe
	limited  io.LimitedReader
	reader   *bufio.Reader
	window   []byte // see contains
	response *http.Response
	cancel   context.CancelFunc // of an HTTP/2 request; nil: there is none
}

func newExchange() *exchange {
	x := &exchange{}
	x.reader = bufio.NewReaderSize(&x.limited, 4096)
	return x
}

// probe probes l's backend once, until the deadline or the end of ctx. The caller must end the exchange.
func (x *exchange) probe(ctx context.Context, deadline time.Time, l *loop) verdict {
	if conn := l.takeKept(); conn != nil {
		x.hold(conn, deadline, l)
		v := x.ask(deadline, l)
		if v.failure == "" || x.received() || outOfTime(deadline) {
			return v
		}
		x.close() // closed by the backend meanwhile, which says nothing about it
	}
	conn, err := l.dial(ctx, deadline)
	if err != nil {
		return failed(deadline, err, l.settings)
	}
	x.hold(conn, deadline, l)
	switch l.settings.Type {
	case TCP:
		return verdict{}
	case GRPC:
		return x.askGRPC(deadline, l)
	}
	return x.ask(deadline, l)
}

// hold uses a connection until the deadline, or until the loop ends.
func (x *exchange) hold(conn net.Conn, deadline time.Time, l *loop) {
	l.running.begin(conn, deadline)
	x.conn = conn
	x.limited = io.LimitedReader{R: conn, N: maxHead}
	x.reader.Reset(&x.limited)
}

// received reports whether a byte of a response has arrived.
func (x *exchange) received() bool { return x.limited.N < maxHead }

// ask sends the request and judges the response.
func (x *exchange) ask(deadline time.Time, l *loop) verdict {
	s := l.settings
	if s.HTTP2 {
		return x.askHTTP2(deadline, l)
	}
	request, keep := l.nextRequest()
	if _, err := x.conn.Write(request); err != nil {
		return failed(deadline, err, s)
	}
	response, err := x.readResponse(s.Method)
	if err != nil {
		if x.limited.N <= 0 {
			err = errHead
		}
		return failed(deadline, err, s)
	}
	x.response = response
	x.fit = keep && !response.Close && !mayTrail(response, s.Method)
	v := verdict{status: response.StatusCode}
	switch {
	case !s.passes(v.status):
		v.failure = fmt.Sprintf("status %d, want %s", v.status, s.statusText)
	case s.Body != "":
		x.limited.N = maxRaw
		if found, err := x.contains(s.Body); !found {
			v.failure = lacks(deadline, err, s)
		}
	}
	return v
}

// readResponse reads the head of the first response that is not an interim one.
func (x *exchange) readResponse(method string) (*http.Response, error) {
	request := http.Request{Method: method} // a response to HEAD has no body
	for range maxInterim {
		response, err := http.ReadResponse(x.reader, &request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
	return nil, errInterim
}

// mayTrail reports whether the backend may send a body where none is allowed, perhaps late: the next probe on the
// connection would take it for its response.
func mayTrail(response *http.Response, method string) bool {
	switch response.StatusCode {
	case http.StatusNoContent, http.StatusNotModified:
		return true
	}
	return method == http.MethodHead && response.ContentLength != 0
}

// contains reports whether text occurs in the first maxBody bytes of the response body. It reads no further than
// necessary. The window keeps the end of what was read before, so that text is found across chunks and packets.
func (x *exchange) contains(text string) (bool, error) {
	if need := max(4096, 2*len(text)); cap(x.window) < need {
		x.window = make([]byte, need)
	}
	window := x.window[:cap(x.window)]
	needle := []byte(text)
	kept, left := 0, maxBody
	for left > 0 {
		end := min(len(window), kept+left)
		n, err := x.response.Body.Read(window[kept:end])
		left -= n
		seen := window[:kept+n]
		if bytes.Contains(seen, needle) {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(window, seen[max(0, len(seen)-len(needle)+1):])
	}
	return false, nil
}

// end reads the rest of a short body, since servers log an error when they are cut off while writing. It returns the
// connection if another probe may use it, and closes it otherwise. It takes no longer than the probe may.
func (x *exchange) end() (kept net.Conn) {
	if x.response != nil && x.response.StatusCode != http.StatusSwitchingProtocols {
		x.limited.N = maxRaw
		_, err := io.CopyN(io.Discard, x.response.Body, maxBody+1)
		if x.fit && err == io.EOF && x.reader.Buffered() == 0 {
			kept, x.conn = x.conn, nil
		}
	}
	x.close()
	return kept
}

// close closes the connection, if there is one, and resets what belongs to it.
func (x *exchange) close() {
	if x.conn != nil {
		_ = x.conn.Close()
	}
	if x.cancel != nil {
		x.cancel()
	}
	x.conn, x.response, x.fit, x.cancel = nil, nil, false, nil
	x.limited.R = nil
}
