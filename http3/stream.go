package http3

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"

	"lb/internal/fieldsection"
	"lb/message"
)

// version is what logs call the protocol.
const version = "HTTP/3.0"

// Stream is one request and its response. It is lent for the length of an exchange: nothing may keep it, or a slice of
// it, after End. Its methods are called on the loop, but for those of its goroutines: read, and write while there is more to be sent.
type Stream struct {
	Exchange Exchange
	Owner    any // the handler's own

	conn    *Conn
	quic    *quic.Stream
	place   int // in Conn.streams
	request message.Request
	refusal *Refusal    // what read has found; nil: nothing
	watched func() bool // ends the watch for the end of the stream
	aborted bool        // it was reset, by either side, or the connection has ended
	done    bool        // End was called

	tunnel   *streamTunnel // nil: it is HTTP
	body     body
	response response
	out      output
}

// Request is the head of the request. Its slices are good until End.
func (s *Stream) Request() *message.Request { return &s.request }

// Local is the address that the client connected to.
func (s *Stream) Local() netip.AddrPort {
	if a, ok := s.conn.quic.LocalAddr().(*net.UDPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Conn is the connection that the request came by.
func (s *Stream) Conn() *Conn { return s.conn }

// read is the goroutine of a stream: it reads the head, has the loop begin the exchange, and reads the body.
func (s *Stream) read() {
	c := s.conn
	r := newReader(s.quic)
	if err := c.guard(func() error { return s.readHead(r) }); err != nil {
		if !c.fault(err) {
			s.quic.CancelRead(codeIncomplete)
			s.quic.CancelWrite(codeIncomplete)
		}
		c.worker.Loop.Post(headless{s, errors.Is(err, os.ErrDeadlineExceeded)})
		return
	}
	c.worker.Loop.Post((*begin)(s))
	if !s.body.open() {
		return
	}
	if err := c.guard(func() error { s.readBody(r); return nil }); err != nil {
		c.worker.Loop.Post(violation{s, codeInternal, err})
	}
}

// defaultUrgency is the urgency of a request that does not say it (RFC 9218 section 4.1).
const defaultUrgency = 3

// bodyPatience is how long to wait for the end of a stream behind a head without a Content-Length, so that a request without a body is
// known to have none. Most clients send both at once.
const bodyPatience = 20 * time.Millisecond

// readHead reads the head of the request.
func (s *Stream) readHead(r *reader) error {
	limits := &s.conn.settings.Limits
	_ = s.quic.SetReadDeadline(time.Now().Add(limits.HeaderTimeout))
	kind, length, err := r.nextOfMessage()
	switch {
	case err != nil:
		return err
	case kind != frameHeaders:
		return &connError{codeFrameUnexpected, "DATA before HEADERS"}
	case length > uint64(mostSection(limits)):
		s.refusal = fieldsection.HeadTooLarge
		s.request.Version = version
		s.body.stop()
		return nil
	}
	var section fieldsection.Section
	if err := s.decode(r, length, &section, false); err != nil {
		return err
	}
	r.idle = 0
	ended := false
	if !section.HasBody() && section.Text(fieldsection.PseudoProtocol) == nil {
		_ = s.quic.SetReadDeadline(time.Now().Add(bodyPatience))
		switch _, err := r.Peek(1); {
		case err == io.EOF:
			ended = true
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err // the rest was cancelled: what has come is not the whole request
		}
	}
	s.refusal = section.Request(&s.request, version, ended)
	s.body.begin(&s.request, limits, ended)
	return nil
}

// mostSection is the most bytes of an encoded field section: more than the limit, since a code may be longer than what it stands for.
func mostSection(limits *Limits) int { return limits.HeaderSize + limits.HeaderSize/2 }

// decode reads and decodes a field section.
func (s *Stream) decode(r *reader, length uint64, section *fieldsection.Section, trailer bool) error {
	limits := &s.conn.settings.Limits
	block := make([]byte, length)
	for got := 0; got < len(block); {
		n, err := r.Read(block[got:])
		if got += n; err != nil && got < len(block) {
			return cutFrame(err)
		}
	}
	section.Begin(fieldsection.Limits{HeaderSize: limits.HeaderSize, HeaderFields: limits.HeaderFields}, make([]byte, 0, 2*len(block)), trailer)
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return &connError{codeDecompression, "a field section cannot be decoded"}
		}
		if section.Add(f.Name, f.Value); section.IsBomb() {
			return &connError{codeExcessiveLoad, "A field section stands for too many fields."}
		}
	}
}

// headless is the task for a stream whose head did not come.
type headless struct {
	stream *Stream
	late   bool
}

func (t headless) Run() {
	c := t.stream.conn
	t.stream.quic.ReleaseStreamCredit()
	if t.late {
		c.settings.Handler.Refused(c, &Refusal{Label: LabelHeaderTimeout, Reason: "A request head did not arrive in time."})
	}
	c.spendReset()
	c.headDone()
	c.settle()
}

// begin is a Stream as the task that begins its exchange.
type begin Stream

func (t *begin) Run() {
	s := (*Stream)(t)
	c := s.conn
	c.headDone()
	if c.phase > phaseLast {
		s.quic.CancelRead(codeRequestRejected)
		s.quic.CancelWrite(codeRequestRejected)
		s.quic.ReleaseStreamCredit()
		s.body.stop()
		return
	}
	c.add(s)
	s.response = response{length: -1, toHead: s.request.IsHead()}
	s.watch()
	if c.owner.Retiring() {
		c.End()
	}
	urgency, incremental := uint8(defaultUrgency), false
	for i := range s.request.Fields {
		if f := &s.request.Fields[i]; message.EqualFold(f.Name, "priority") {
			urgency, incremental = fieldsection.ReadPriority(f.Value, urgency, incremental)
		}
	}
	s.quic.SetPriority(int8(urgency), incremental)
	if s.refusal != nil {
		if c.spendReset() {
			s.refuse(s.refusal)
		}
		return
	}
	s.serve()
}

// serve has the handler serve the request of the stream, and ends what a panic leaves.
func (s *Stream) serve() {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		s.conn.settings.Handler.Panicked(v)
		if s.done {
			return
		}
		s.Exchange = nil
		if s.response.begun {
			s.reset(codeInternal)
			s.release()
			return
		}
		s.refuse(handlerFailed)
	}()
	s.conn.settings.Handler.Serve(s)
}
