package http1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"lb/message"
	"lb/netloop"
)

// Serve begins the exchange that the first element of the target's path names; the other elements are numbers.
func (s *testServer) Serve(st *Stream) {
	parts := strings.Split(string(st.Request().Target), "/")
	x := &testExchange{server: s, s: st, what: parts[1]}
	for _, p := range parts[2:] {
		n, _ := strconv.Atoi(p)
		x.numbers = append(x.numbers, n)
	}
	st.Exchange = x
	s.streams.Add(1)
	x.begin()
}

type testExchange struct {
	server  *testServer
	s       *Stream
	what    string
	numbers []int
	timer   netloop.Timer
	pieces  int    // that are still to be sent
	body    []byte // that was received
	last    bool
	done    bool
}

func (x *testExchange) begin() {
	switch x.what {
	case "panic", "within":
		x.server.streams.Add(-1)
		if x.what == "within" {
			r := message.Response{Status: 200}
			r.SetLength(10)
			x.s.Respond(&r, []byte("12345"), false, false)
		}
		panic("as asked")
	case "stream": // N pieces of M bytes, with a length or not
		x.pieces = x.numbers[0]
		r := message.Response{Status: 200, Length: -1}
		if len(x.numbers) > 2 {
			r.SetLength(int64(x.numbers[0] * x.numbers[1]))
		}
		if x.s.Respond(&r, nil, false, false) {
			x.sendPieces()
		}
	case "later": // after N ms
		x.timer.Init(x.s.Conn().Worker().Loop, x)
		x.timer.Reset(time.Duration(x.numbers[0]) * time.Millisecond)
	case "echo":
		x.BodyReady()
	case "upgrade":
		r := message.Response{Status: 101}
		r.Add("Upgrade", "echo")
		x.s.Respond(&r, nil, false, true)
		socket, unread := x.s.Upgrade(x)
		socket.Write(unread, nil)
		x.ClientReady(netloop.Readable)
	case "wait": // for proceed
		x.server.mu.Lock()
		x.server.waiting = x
		x.server.mu.Unlock()
	case "own": // the value of X-Own
		own := ""
		for _, f := range x.s.Request().Fields {
			if string(f.Name) == "X-Own" {
				own = string(f.Value)
			}
		}
		x.respond(own)
	case "stable":
		r := message.Response{Status: 200}
		r.SetLength(int64(len(x.server.stable)))
		x.finish(x.s.Respond(&r, x.server.stable, true, true))
	case "file": // N bytes from M on
		r := message.Response{Status: 200}
		r.SetLength(int64(x.numbers[0]))
		x.s.Respond(&r, nil, false, false)
		x.finish(x.s.SendFile(x.server.file, int64(x.numbers[1]), int64(x.numbers[0])))
	case "abort":
		r := message.Response{Status: 200, Length: -1}
		x.s.Respond(&r, []byte("half"), false, false)
		x.s.Abort()
		if x.s.Send([]byte("more"), true, nil) {
			x.server.t.Error("more was sent after Abort")
		}
		x.end()
	case "interim":
		x.s.SendInterim(&message.Response{Status: http.StatusEarlyHints})
		x.respond("done")
	case "status":
		r := message.Response{Status: x.numbers[0]}
		x.finish(x.s.Respond(&r, nil, false, true))
	default:
		if begin := x.server.begins[x.what]; begin != nil {
			begin(x)
			return
		}
		x.respond(string(x.s.Request().Method) + " " + string(x.s.Request().Target))
	}
}

func (x *testExchange) respond(body string) {
	r := message.Response{Status: 200}
	r.SetLength(int64(len(body)))
	x.finish(x.s.Respond(&r, []byte(body), false, true))
}

// finish ends the exchange after everything was flushed.
func (x *testExchange) finish(flushed bool) {
	x.last = true
	if flushed {
		x.end()
	}
}

func (x *testExchange) end() {
	if x.done {
		x.server.t.Error("an exchange has ended twice")
	}
	x.done = true
	x.timer.Stop()
	x.server.lastSent.Store(x.s.Sent())
	x.server.ended.Add(1)
	x.server.streams.Add(-1)
	x.s.End()
}

func (x *testExchange) sendPieces() {
	for x.pieces > 0 {
		x.pieces--
		piece := []byte(strings.Repeat(string(rune('a'+x.pieces%26)), x.numbers[1]))
		if x.pieces == 0 {
			x.finish(x.s.Send(piece, true, nil))
		} else if !x.s.Send(piece, false, nil) {
			return
		}
	}
}

func (x *testExchange) BodyReady() {
	for {
		piece, err := x.s.Read()
		x.body = append(x.body, piece...)
		switch {
		case err == nil:
		case err == netloop.ErrWouldBlock:
			return
		case err == io.EOF:
			for _, f := range x.s.Trailers() {
				x.body = append(x.body, f.Line...)
			}
			x.respond(string(x.body))
			return
		default:
			status := statusOf(err)
			if status == 0 {
				x.server.lastError.Store(err)
				x.server.disconnects.Add(1)
				x.s.Abort()
				x.end()
				return
			}
			x.s.Close()
			r := message.Response{Status: status}
			r.SetLength(int64(len(err.Error())))
			x.finish(x.s.Respond(&r, []byte(err.Error()), false, true))
			return
		}
	}
}

// statusOf returns the status for an error of a body; 200 for none, 0 where no response is possible.
func statusOf(err error) int {
	return map[error]int{nil: 200, ErrBodyTooLarge: 413, ErrBodyTimeout: 408, ErrBodyMalformed: 400, ErrTrailerFields: 431, ErrBodyShort: 400}[err]
}

func (x *testExchange) Moved() {}

func (x *testExchange) Flushed() {
	if x.last {
		x.end()
		return
	}
	x.sendPieces()
}

func (x *testExchange) Disconnected(err error) {
	x.server.lastError.Store(err)
	x.server.disconnects.Add(1)
	x.end()
}

func (x *testExchange) Expired(*netloop.Timer) { x.respond("later") }

func (x *testExchange) ClientReady(ev netloop.Events) {
	socket := x.s.Conn().Socket()
	for {
		n, err := socket.Read(x.s.Conn().Worker().Loop.Scratch())
		if errors.Is(err, netloop.ErrWouldBlock) {
			return
		}
		if err != nil {
			x.end()
			return
		}
		socket.Write(x.s.Conn().Worker().Loop.Scratch()[:n], nil)
	}
}

func (x *testExchange) Ending() {}
