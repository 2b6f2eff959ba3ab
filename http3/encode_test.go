package http3

import (
	"io"
	"strings"
	"testing"

	"github.com/quic-go/qpack"

	"lb/message"
)

// TestResponseFields: what is sent is read by quic-go's decoder as it was.
func TestResponseFields(t *testing.T) {
	for _, status := range []int{100, 103, 200, 204, 206, 299, 302, 304, 308, 400, 403, 404, 421, 425, 431, 500, 502, 503, 999} {
		var r message.Response
		r.Status = status
		var want []string
		names := []string{"X-Other", "Set-Cookie", "a", strings.Repeat("long-", 100)}
		for name := range staticNames {
			names = append(names, name)
		}
		for _, name := range names {
			for _, value := range []string{"", "a", "A\xff b", strings.Repeat("x", 126), strings.Repeat("y", 127), strings.Repeat("z", 20_000)} {
				r.Add(name, value)
				want = append(want, strings.ToLower(name)+"="+value)
			}
		}
		r.Add("Connection", "close")
		r.Add("Transfer-Encoding", "chunked")
		next := qpack.NewDecoder().Decode(appendResponse(nil, &r, false))
		var got []string
		for {
			f, err := next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, f.Name+"="+f.Value)
		}
		if len(got) != len(want)+1 || got[0] != ":status="+string(rune('0'+status/100))+string(rune('0'+status/10%10))+string(rune('0'+status%10)) {
			t.Fatalf("%d: %d fields, want %d; the first is %q", status, len(got), len(want)+1, got[0])
		}
		for i := range want {
			if got[i+1] != want[i] {
				t.Errorf("%.100q, want %.100q", got[i+1], want[i])
			}
		}
	}
}

// TestResponseFieldsAllocateNothing: a head is encoded into the room of the loop.
func TestResponseFieldsAllocateNothing(t *testing.T) {
	var r message.Response
	r.Status = 200
	r.Add("Content-Type", "text/plain")
	r.Add("X-Request-Id", "0123456789abcdef0123456789abcdef")
	room := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() { room = appendResponse(room[:0], &r, false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
