package http2

import (
	"slices"
	"strconv"

	"lb/internal/fieldsection"
	"lb/message"
)

// work implements side.
func (c *BackendConn) work() {
	for range worksAtOnce {
		if c.phase == phaseOpen {
			c.schedule()
		}
		if !c.flush() {
			return
		}
		c.tellFlushed()
		if c.phase != phaseOpen || len(c.out) > 0 || !c.canSendAny() {
			return // until Writable, or a WINDOW_UPDATE
		}
	}
	c.wake()
}

// canSendAny reports whether one of the streams that wait can send.
func (c *BackendConn) canSendAny() bool {
	for _, s := range c.queue {
		if len(s.out.copied) == 0 || s.send > 0 && c.send > 0 {
			return true
		}
	}
	return false
}

// schedule moves what waits into the output as far as there is room, one frame of each stream in turn.
func (c *BackendConn) schedule() {
	for i, idle := 0, 0; idle < len(c.queue) && len(c.out) < mostOutput-leastFrame; {
		if i >= len(c.queue) {
			i = 0
		}
		s := c.queue[i]
		rest := s.out.copied
		s.out.copied = nil // so that what is left decides whether the frame is the last
		frame := rest[:min(len(rest), frameSize)]
		if len(frame) < len(rest) {
			s.out.copied = rest[len(frame):]
		}
		n := c.sendPiece(s, frame)
		if s.out.copied = rest[n:]; len(s.out.copied) > 0 {
			if idle++; n > 0 {
				idle = 0
			}
			i++
			continue
		}
		c.sendEnd(s)
		s.out.drop(c.worker.Loop)
		c.queue = slices.Delete(c.queue, i, i+1)
		s.out.queued = false
		c.flushed = append(c.flushed, s)
		s.checkOver()
		idle = 0
	}
	if len(c.queue) > 1 { // the next time another stream is the first
		c.queue = append(c.queue[1:], c.queue[0])
	}
}

// sendPiece sends what there is room for of a piece and returns how much that is.
func (c *BackendConn) sendPiece(s *BackendStream, piece []byte) (n int) {
	for n < len(piece) {
		k := min(c.room(s.send), len(piece)-n)
		if k == 0 {
			return n
		}
		end := s.out.end && s.out.trailers == nil && n+k == len(piece) && len(s.out.copied) == 0
		if end {
			s.out.end = false
		}
		c.appendDataHeader(s.id, k, end)
		c.out = append(c.out, piece[n:n+k]...)
		s.send -= int64(k)
		n += k
	}
	return n
}

// sendEnd sends what ends a request whose body is all sent, if it is to end now and its last DATA frame has not said so.
func (c *BackendConn) sendEnd(s *BackendStream) {
	switch {
	case !s.out.end:
	case s.out.trailers != nil:
		block := s.out.trailers
		s.out.end, s.out.trailers = false, nil
		c.sendBlock(s.id, append(c.beginBlock(), block...), true)
	default:
		s.out.end = false
		c.appendDataHeader(s.id, 0, true)
	}
}

// tellFlushed has those go on whose output has been passed on. Any of them may end the connection.
func (c *BackendConn) tellFlushed() {
	n := len(c.flushed)
	for i := 0; i < n && c.phase == phaseOpen; i++ {
		if s := c.flushed[i]; s != nil && s.conn == c && !s.over && !s.out.queued {
			s.user.RequestFlushed()
		}
	}
	if c.phase != phaseOpen {
		return
	}
	left := copy(c.flushed, c.flushed[n:])
	clear(c.flushed[left:])
	c.flushed = c.flushed[:left]
}

// Indices of the static table (RFC 7541 appendix A) that are for requests alone.
const (
	indexAuthority = 1
	indexMethod    = 2 // GET
	indexPost      = 3
	indexPath      = 4 // "/"
	indexHTTP      = 6
	indexHTTPS     = 7
)

// appendRequest appends the fields of a request, but for those that are for connections of HTTP/1 alone.
func appendRequest(b []byte, r *message.Request, secure bool) []byte {
	connects := r.Upgrade != nil
	switch method := string(r.Method); {
	case connects:
		b = fieldsection.AppendString(append(b, literal|indexMethod), methodConnect)
	case method == "GET":
		b = append(b, 0x80|indexMethod)
	case method == "POST":
		b = append(b, 0x80|indexPost)
	default:
		b = fieldsection.AppendString(append(b, literal|indexMethod), r.Method)
	}
	if secure {
		b = append(b, 0x80|indexHTTPS)
	} else {
		b = append(b, 0x80|indexHTTP)
	}
	if path := pathOf(r); len(path) == 1 && path[0] == '/' {
		b = append(b, 0x80|indexPath)
	} else {
		b = fieldsection.AppendString(append(b, literal|indexPath), path)
	}
	if host := message.Lookup(r.Fields, message.Host); len(host) > 0 {
		b = fieldsection.AppendString(append(b, literal|indexAuthority), host)
	}
	if connects {
		b = fieldsection.AppendString(append(b, literal), pseudoProtocol)
		b = fieldsection.AppendString(b, r.Upgrade)
	}
	for i := range r.Fields {
		switch f := &r.Fields[i]; {
		case connects && message.EqualFold(f.Name, webSocketKey):
		case f.Kind.HopByHop(), f.Kind == message.Host, f.Kind == message.ContentLengthField, f.Kind == message.Expect:
		default:
			b = appendField(b, f)
		}
	}
	if r.Announced && r.Length >= 0 {
		var digits [20]byte
		b = fieldsection.AppendInteger(b, literal, indexBits, staticNames["content-length"])
		b = fieldsection.AppendString(b, strconv.AppendInt(digits[:0], r.Length, 10))
	}
	if r.Continue {
		b = append(append(b, literal, byte(len("expect"))), "expect"...)
		b = append(append(b, byte(len("100-continue"))), "100-continue"...)
	}
	if r.Trailers {
		b = append(append(b, literal, byte(len("te"))), "te"...)
		b = append(append(b, byte(len("trailers"))), "trailers"...)
	}
	return b
}

// pathOf returns the path and query of a target, which may be in absolute-form (RFC 9112 section 3.2.2).
func pathOf(r *message.Request) []byte {
	target := r.Target
	if len(target) > 0 && target[0] == '/' {
		return target
	}
	authority, ok := message.TargetAuthority(target)
	if !ok {
		return target // "*"
	}
	scheme := len("http://")
	if message.EqualFold(target[:len("https")], "https") {
		scheme = len("https://")
	}
	path := target[scheme+len(authority):]
	switch {
	case len(path) > 0 && path[0] == '/':
		return path
	case len(path) > 0: // a query without a path
		return append([]byte{'/'}, path...)
	case string(r.Method) == "OPTIONS":
		return []byte{'*'}
	}
	return []byte{'/'}
}
