package message

import (
	"bytes"
	"strconv"
)

// lineRoom is what the room for added lines holds at first: enough for what a balancer adds to most messages.
const lineRoom = 512

// Name is the name of a field with its kind, so that it need not be found out for each message.
type Name struct {
	text string
	kind Kind
}

// NewName returns a name, which must be valid.
func NewName(text string) Name { return Name{text, KindOf([]byte(text))} }

// The names of fields that most messages get.
var (
	NameClientCert      = NewName("Client-Cert")
	NameContentLength   = NewName("Content-Length")
	NameHost            = NewName("Host")
	NameXForwardedFor   = NewName("X-Forwarded-For")
	NameXForwardedHost  = NewName("X-Forwarded-Host")
	NameXForwardedProto = NewName("X-Forwarded-Proto")
	NameXRealIP         = NewName("X-Real-IP")
	NameXRequestID      = NewName("X-Request-Id")
)

// Add appends a field of our own. Name and value must be valid; they are copied.
func (r *Request) Add(name, value string) {
	r.Fields, r.room = add(r.Fields, r.room, NewName(name), value)
}

// AddBytes is Add for a value of bytes.
func (r *Request) AddBytes(name Name, value []byte) {
	r.Fields, r.room = add(r.Fields, r.room, name, value)
}

// Add appends a field of our own. Name and value must be valid; they are copied.
func (r *Response) Add(name, value string) {
	r.Fields, r.room = add(r.Fields, r.room, NewName(name), value)
}

// AddBytes is Add for a value of bytes. If it were inlined into other packages, a value on their stack would escape.
//
//go:noinline
func (r *Response) AddBytes(name Name, value []byte) {
	r.Fields, r.room = add(r.Fields, r.room, name, value)
}

// SetLength sets the length of the body, and appends the field that says so.
func (r *Response) SetLength(n int64) {
	var digits [20]byte
	r.Length = n
	r.AddBytes(NameContentLength, strconv.AppendInt(digits[:0], n, 10))
}

// NewField returns a field of our own.
func NewField(name, value string) Field {
	fields, _ := add(nil, make([]byte, 0, len(name)+len(value)+4), NewName(name), value)
	return fields[0]
}

// Lines appends the fields of a block of lines that were made here, each with its CRLF, as slices of it.
func Lines(block []byte, fields []Field) []Field {
	for len(block) > 0 {
		end := bytes.IndexByte(block, '\n') + 1
		colon := bytes.IndexByte(block, ':')
		f := Field{Line: block[:end], Name: block[:colon], Value: TrimSpace(block[colon+1 : end-len("\r\n")])}
		f.Kind = KindOf(f.Name)
		fields, block = append(fields, f), block[end:]
	}
	return fields
}

// add appends a field whose line is in room. Lines that are there already do not move when room grows.
func add[T string | []byte](fields []Field, room []byte, name Name, value T) ([]Field, []byte) {
	size := len(name.text) + len(": ") + len(value) + len("\r\n")
	if len(room)+size > cap(room) {
		room = make([]byte, 0, max(lineRoom, 2*cap(room), size))
	}
	start := len(room)
	room = append(append(room, name.text...), ": "...)
	room = append(append(room, value...), "\r\n"...)
	line := room[start:]
	f := Field{Line: line, Name: line[:len(name.text)], Value: line[len(name.text)+2 : size-2], Kind: name.kind}
	return append(fields, f), room
}
