package http3

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// The types of unidirectional streams (RFC 9114 section 6.2, RFC 9204 section 4.2).
const (
	streamControl = 0x0
	streamPush    = 0x1
	streamEncoder = 0x2
	streamDecoder = 0x3
)

// The settings (RFC 9114 section 7.2.4.1, RFC 9204 section 5). Those of QPACK keep their defaults: no dynamic table.
const (
	settingFieldSectionSize = 0x6
	settingConnectProtocol  = 0x8 // RFC 9220 section 3: WebSocket is served
)

// isHTTP2Setting reports whether a setting is one of HTTP/2 that HTTP/3 does not have (RFC 9114 section 7.2.4.1).
func isHTTP2Setting(id uint64) bool { return id == 0 || 0x2 <= id && id <= 0x5 }

// openControl opens our control stream, which begins with SETTINGS.
func (c *Conn) openControl() error {
	control, err := c.quic.OpenUniStream()
	if err != nil {
		return err
	}
	settings := quicvarint.Append(nil, settingFieldSectionSize)
	settings = quicvarint.Append(settings, uint64(c.settings.Limits.HeaderSize))
	settings = append(settings, settingConnectProtocol, 1)
	b := appendFrame([]byte{streamControl}, frameSettings, uint64(len(settings)))
	if _, err = control.Write(append(b, settings...)); err != nil {
		return err
	}
	c.worker.Loop.Post(controlOpened{c, control})
	return nil
}

// controlOpened gives the loop the control stream.
type controlOpened struct {
	conn    *Conn
	control *quic.SendStream
}

func (t controlOpened) Run() {
	t.conn.control = t.control
	if t.conn.phase == phaseLeaving {
		t.conn.sendGoAway(mostID)
	}
}

// appendGoAway appends a GOAWAY frame.
func appendGoAway(b []byte, id quic.StreamID) []byte {
	b = appendFrame(b, frameGoAway, uint64(quicvarint.Len(uint64(id))))
	return quicvarint.Append(b, uint64(id))
}

// acceptUni reads the unidirectional streams of the client until the connection ends.
func (c *Conn) acceptUni() {
	for {
		q, err := c.quic.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		c.running.Go(func() {
			c.fault(c.guard(func() error { return c.readUni(q) }))
			q.ReleaseStreamCredit()
		})
	}
}

// readUni reads a unidirectional stream. Those that matter must stay open as long as the connection.
func (c *Conn) readUni(q *quic.ReceiveStream) error {
	_ = q.SetReadDeadline(time.Now().Add(c.settings.Limits.HeaderTimeout))
	r := newReader(q)
	kind, err := quicvarint.Read(r)
	if err != nil || kind > streamDecoder { // RFC 9114 section 6.2.3: it is to be ignored
		q.CancelRead(codeStreamCreation)
		return nil
	}
	_ = q.SetReadDeadline(time.Time{})
	c.mu.Lock()
	opened := c.opened[kind]
	c.opened[kind] = true
	c.mu.Unlock()
	switch {
	case kind == streamPush:
		return &connError{codeStreamCreation, "a client has opened a push stream"}
	case opened:
		return &connError{codeStreamCreation, "a stream of which there may be one only is opened twice"}
	case kind == streamControl:
		err = c.readControl(r)
	default:
		err = readTable(kind, r)
	}
	var reset *quic.StreamError
	if errors.Is(err, io.EOF) || errors.As(err, &reset) {
		return &connError{codeClosedCritical, "a stream has ended that must stay open"}
	}
	return err
}

// readTable reads a stream of QPACK. Since neither side has a dynamic table, there is nothing that it may say but that the encoder's has
// no room (RFC 9204 section 4.3.1).
func readTable(kind uint64, r *reader) error {
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil:
			return err
		case kind == streamEncoder && b != capacityZero:
			return &connError{0x201, "an instruction for a dynamic table, which there is not"}
		case kind == streamDecoder && b&0xc0 != streamCancellation:
			return &connError{0x202, "an acknowledgement of a dynamic table, which there is not"}
		case kind == streamDecoder && b&0x3f == 0x3f: // the id of the stream goes on
			for more := byte(0x80); more&0x80 != 0; {
				if more, err = r.ReadByte(); err != nil {
					return err
				}
			}
		}
	}
}

const (
	capacityZero       = 0x20 // Set Dynamic Table Capacity to 0
	streamCancellation = 0x40 // RFC 9204 section 4.4.2; a client may send it
)

// controlCredit is how many frames the control stream may have at once, and framesPerSecond how many more each second.
const (
	controlCredit   = 2000
	framesPerSecond = 200
)

// readControl reads the client's control stream. There is nothing in it that matters here: settings for what is not sent, pushes that do
// not happen, and priorities, which are read from the requests.
func (c *Conn) readControl(r *reader) error {
	kind, length, err := r.next()
	switch {
	case err != nil:
		return err
	case kind != frameSettings:
		return &connError{codeMissingSettings, "the control stream does not begin with SETTINGS"}
	}
	if err := readSettings(r, length); err != nil {
		return err
	}
	left, since := controlCredit, time.Now()
	for {
		if kind, length, err = r.next(); err != nil {
			return err
		}
		if left--; left < 0 {
			seconds := int(min(time.Since(since)/time.Second, controlCredit/framesPerSecond))
			if left += seconds * framesPerSecond; left < 0 {
				return &connError{codeExcessiveLoad, "Too many frames do nothing for a request."}
			}
			since = time.Now()
		}
		switch kind {
		case frameData, frameHeaders, frameSettings, framePushPromise:
			return &connError{codeFrameUnexpected, "a frame that is not allowed on the control stream"}
		case frameCancelPush:
			return &connError{codeID, "a push is cancelled that does not exist"}
		}
		if err := r.skip(length); err != nil {
			return err
		}
	}
}

// mostSettings is the most bytes of a SETTINGS frame.
const mostSettings = 4 << 10

// readSettings checks the client's SETTINGS.
func readSettings(r *reader, length uint64) error {
	if length > mostSettings {
		return &connError{codeExcessiveLoad, "the SETTINGS are too large"}
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return cutFrame(err)
	}
	seen := map[uint64]bool{}
	for len(payload) > 0 {
		id, n, err := quicvarint.Parse(payload)
		if err != nil {
			return &connError{codeFrame, "the SETTINGS are cut"}
		}
		payload = payload[n:]
		if _, n, err = quicvarint.Parse(payload); err != nil {
			return &connError{codeFrame, "the SETTINGS are cut"}
		}
		payload = payload[n:]
		if seen[id] || isHTTP2Setting(id) {
			return &connError{codeSettings, "a setting is repeated, or one of HTTP/2"}
		}
		seen[id] = true
	}
	return nil
}
