package http3

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/quic-go/qpack"

	"lb/internal/fieldsection"
	"lb/message"
)

// encoded returns a HEADERS frame of names and values.
func encoded(fields ...string) []byte {
	var section bytes.Buffer
	e := qpack.NewEncoder(&section)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer does not fail
	}
	return append(appendFrame(nil, frameHeaders, uint64(section.Len())), section.Bytes()...)
}

func data(payload string) []byte {
	return append(appendFrame(nil, frameData, uint64(len(payload))), payload...)
}

var fuzzLimits = Limits{HeaderSize: 4 << 10, HeaderFields: 20}

// FuzzStream: whatever bytes a client sends on the stream of a request, they are read to their end or to an error, and what is kept has bounds.
func FuzzStream(f *testing.F) {
	head := encoded(":method", "POST", ":scheme", "https", ":path", "/", ":authority", "a.test", "x", "y")
	for _, frames := range [][][]byte{
		{head}, {head, data("abc")}, {head, data("abc"), data(""), data("def"), encoded("x-sum", "1")}, {data("abc")}, {head, head, head},
		{appendFrame(nil, 0x21, 3), []byte("abc"), head}, {head, appendFrame(nil, frameSettings, 0)}, {head, appendFrame(nil, 0x6, 0)},
		{head, appendFrame(nil, frameData, 1<<61), []byte("x")}, {appendFrame(nil, frameHeaders, 3), []byte("\x00\x00\xd1")},
		{appendFrame(nil, frameHeaders, 5), []byte("\x02\x00\x80\x10\xff")}, {encoded(":method", "GET", "content-length", "-1")},
	} {
		f.Add(bytes.Join(frames, nil))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &Stream{conn: &Conn{settings: &Settings{Limits: fuzzLimits}}}
		r := newReader(bytes.NewReader(input))
		kind, length, err := r.nextOfMessage()
		if err != nil || kind != frameHeaders || length > uint64(mostSection(&fuzzLimits)) {
			return
		}
		var section fieldsection.Section
		if s.decode(r, length, &section, false) != nil {
			return
		}
		var request message.Request
		if refusal := section.Request(&request, version, false); refusal == nil {
			if len(request.Method) == 0 || len(request.Target) == 0 || len(request.Authority) == 0 || len(request.Fields) > fuzzLimits.HeaderFields+1 {
				t.Errorf("%q became %+v", input, request)
			}
		}
		left, got := uint64(0), 0
		for p := make([]byte, 100); ; {
			n, err := s.readPiece(r, p, &left)
			if got += n; got > len(input) {
				t.Fatalf("%d bytes of a body were made of %d", got, len(input))
			}
			if err != nil {
				break
			}
		}
	})
}

// FuzzControl: the same for a control stream, and for those of QPACK. None of them ends without an error.
func FuzzControl(f *testing.F) {
	f.Add([]byte("\x04\x00"))
	f.Add([]byte("\x04\x03\x06\x44\x00\x07\x01\x00\x0d\x01\x05"))
	f.Add([]byte("\x04\x04\x06\x01\x06\x01"))
	f.Add([]byte("\x00\x01x"))
	f.Add([]byte("\x20\x20\x3f\xe1\x1f"))
	f.Add([]byte("\x44\x7f\x80\x01"))
	f.Fuzz(func(t *testing.T, input []byte) {
		c := &Conn{settings: &Settings{Limits: fuzzLimits}}
		for name, err := range map[string]error{
			"control": c.readControl(newReader(bytes.NewReader(input))),
			"encoder": readTable(streamEncoder, newReader(bytes.NewReader(input))),
			"decoder": readTable(streamDecoder, newReader(bytes.NewReader(input))),
		} {
			var wrong *connError
			if !errors.As(err, &wrong) && err != io.EOF {
				t.Errorf("%s of %q: %v", name, input, err)
			}
		}
	})
}
