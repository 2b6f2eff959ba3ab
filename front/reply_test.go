package front

import (
	"bytes"

	"lb/http1"
	"lb/message"
)

// reply responds with what stands in head as it would on the wire, with the beginning of the body perhaps, and then the rest of that.
// It returns the bytes that it has sent. The framing is that of the connection.
func reply(c *Conn, head, body []byte) (int64, error) {
	r, start := responseOf(c, head)
	before := c.Sent() - int64(c.early)
	c.Respond(r)
	n, err := c.Finish(append(start, body...), nil, 0)
	_ = n
	return c.Sent() - before, err
}

// responseOf reads a response, whose connection ends if it says so, and returns what stands behind its head.
func responseOf(c *Conn, head []byte) (*message.Response, []byte) {
	head = bytes.Clone(head)
	end := bytes.Index(head, []byte("\r\n\r\n")) + 4
	var h http1.ResponseHead
	if err := h.Parse(head[:end]); err != nil {
		panic(err)
	}
	if h.Close {
		c.EndAfter()
	}
	if h.Chunked {
		h.Length = -1
	}
	kept := h.Fields[:0]
	for _, f := range h.Fields {
		if !f.Hop || f.Kind == message.Upgrade {
			kept = append(kept, f)
		}
	}
	h.Fields = kept
	return &h.Response, head[end:]
}
