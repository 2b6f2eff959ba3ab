package front

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// tellField answers with the value of X-Own.
func tellField(c *Conn) {
	var v []byte
	for _, f := range c.Request().Fields {
		if string(f.Name) == "X-Own" {
			v = f.Value
		}
	}
	reply(c, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(v)), v)
}

// TestHeadsOfAllSizes: heads that need more room than a connection has at first arrive unchanged, in one piece or two,
// with requests before and behind them; beyond the limit they are refused.
func TestHeadsOfAllSizes(t *testing.T) {
	const limit = 16 << 10
	f := start(t, Options{Handler: tellField})
	head := func(size int) (text, value string) {
		const frame = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX-Own: \r\n\r\n"
		value = strings.Repeat("v", size-len(frame))
		return strings.Replace(frame, "X-Own: ", "X-Own: "+value, 1), value
	}
	before := "GET / HTTP/1.1\r\nHost: a\r\nX-Own: before\r\n\r\n"
	after := strings.ReplaceAll(before, "before", "after")
	for _, size := range []int{usualHead - 1, usualHead, usualHead + 1, 3 * usualHead, limit - 1, limit, limit + 1} {
		text, value := head(size)
		for _, cut := range []int{0, 10, usualHead - 1, usualHead, size - 1} {
			for _, first := range []string{"", before} {
				c := dial(t, f)
				cut := min(cut, len(text))
				c.send(first + text[:cut])
				if first != "" {
					c.expect("before")
				}
				c.send(text[cut:] + "xyz" + after)
				if size > limit {
					if resp, _ := c.answer("POST"); resp.StatusCode != 431 {
						t.Errorf("%d bytes: %d", size, resp.StatusCode)
					}
				} else {
					c.expect(value)
					c.expect("after")
				}
				c.Close()
			}
		}
	}
}

// TestPipelineBeyondTheRoom: more requests at once than a connection has room for are responded to in their order.
func TestPipelineBeyondTheRoom(t *testing.T) {
	f := start(t, Options{Handler: tellField})
	c := dial(t, f)
	var all strings.Builder
	const n = 300
	for i := range n {
		fmt.Fprintf(&all, "GET / HTTP/1.1\r\nHost: a\r\nX-Own: %s%d\r\n\r\n", strings.Repeat("x", i*31%(3*usualHead)), i)
	}
	sent := make(chan error, 1)
	go func() { _, err := io.WriteString(c, all.String()); sent <- err }()
	for i := range n {
		c.expect(fmt.Sprintf("%s%d", strings.Repeat("x", i*31%(3*usualHead)), i))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
