package filter

import (
	"bytes"
	"net/http"

	"lb/internal/coding"
	"lb/message"
)

// Compress compresses the responses of backends for clients that accept it.
type Compress struct {
	Types    *coding.Types    // what is compressed
	MinSize  int64            // bytes; a response that is known to be shorter is sent as it is
	Level    int              // from coding.LeastLevel to coding.MostLevel
	Encoders *coding.Encoders // required
}

// contents are the fields of a response that its compression depends on, or that depend on it. Missing ones are nil.
type contents struct {
	media, etag []byte
	vary        []byte // all of them as one list
	sized       bool   // there is a Content-Length
	asIs        bool   // the body must not be changed
}

// look reads the fields of a response.
func look(fields []message.Field) (c contents) {
	varies := 0
	for i := range fields {
		switch f := &fields[i]; {
		case f.Kind == message.ContentLengthField:
			c.sized = true
		case f.Kind != message.Other:
		case message.EqualFold(f.Name, "content-type"):
			c.media = f.Value
		case message.EqualFold(f.Name, "etag"):
			c.etag = f.Value
		case message.EqualFold(f.Name, "vary"):
			switch varies++; varies {
			case 1:
				c.vary = f.Value
			case 2:
				c.vary = bytes.Clone(c.vary) // it is still the field's
				fallthrough
			default:
				c.vary = append(append(c.vary, ", "...), f.Value...)
			}
		case message.EqualFold(f.Name, "cache-control"):
			c.asIs = c.asIs || hasDirective(f.Value, "no-transform")
		case message.EqualFold(f.Name, "content-encoding"), message.EqualFold(f.Name, "content-range"),
			// Digests of the body (RFC 9530 and before), which would be wrong.
			message.EqualFold(f.Name, "content-digest"), message.EqualFold(f.Name, "repr-digest"),
			message.EqualFold(f.Name, "digest"), message.EqualFold(f.Name, "content-md5"):
			c.asIs = true
		}
	}
	return c
}

// Begin decides about a response with the fields that the client would get, and changes them for a compressed one. It returns the
// encoder for the body: nil if the body stays as it is, or there is none.
func (c *Compress) Begin(x Exchange, r *message.Response) *coding.Encoder {
	chosen := c.Choose(x, r)
	if chosen == coding.Identity {
		return nil
	}
	var e *coding.Encoder
	if !x.Message().IsHead() {
		if e = c.Encoders.Get(chosen, c.Level); e == nil {
			return nil
		}
	}
	Encoded(r, chosen)
	return e
}

// Choose decides about a response with the fields that the client would get, and adds Vary. It returns the coding for the body: Identity if
// the body stays as it is, or there is none.
func (c *Compress) Choose(x Exchange, r *message.Response) coding.Coding {
	switch r.Status {
	case http.StatusNotModified:
		c.confirm(x, r)
		return coding.Identity
	case http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent:
		return coding.Identity
	}
	in := look(r.Fields)
	request := x.Message()
	small := r.Length >= 0 && r.Length < max(c.MinSize, 1)
	if request.IsHead() && !in.sized { // the length of the response to GET is not known
		small = false
	}
	if in.asIs || small || !c.Types.Contains(in.media) || isGRPC(in.media) {
		return coding.Identity
	}
	addVary(r, in.vary)
	if request.Version == "HTTP/1.0" || refusesTransforms(request) {
		return coding.Identity
	}
	return coding.Accept(message.List(request.Fields, message.AcceptEncoding)).Best()
}

// Encoded changes the fields of a response for a body with that coding, whose length is not known.
func Encoded(r *message.Response, chosen coding.Coding) {
	etag := message.Named(r.Fields, "etag")
	r.Fields = without(r.Fields, func(f *message.Field) bool {
		return f.Kind == message.ContentLengthField || message.EqualFold(f.Name, "accept-ranges") || message.EqualFold(f.Name, "etag")
	})
	if len(etag) > 0 {
		r.AddBytes(nameETag, weak(etag))
	}
	r.AddBytes(nameContentEncoding, []byte(chosen.Name()))
	r.Length = -1
}

// confirm makes the entity tag of a 304 the one that the client has, where that is of a compressed response. The backend compares tags
// weakly (RFC 9110 section 13.1.2) and has sent the one of its own.
func (c *Compress) confirm(x Exchange, r *message.Response) {
	in := look(r.Fields)
	if len(in.etag) == 0 || in.etag[0] != '"' {
		return
	}
	own := weak(in.etag)
	if !bytes.Contains(message.List(x.Message().Fields, message.IfNoneMatch), own) {
		return
	}
	addVary(r, in.vary)
	r.Fields = without(r.Fields, func(f *message.Field) bool { return message.EqualFold(f.Name, "etag") })
	r.AddBytes(nameETag, own)
}

// isGRPC reports whether a media type is one of gRPC, which "*+json" may contain. Its clients wait for whole frames.
func isGRPC(media []byte) bool {
	const grpc = "application/grpc"
	return len(media) >= len(grpc) && message.EqualFold(media[:len(grpc)], grpc)
}

var (
	nameETag            = message.NewName("ETag")
	nameContentEncoding = message.NewName("Content-Encoding")
)

// weak returns an entity tag as a weak one: the encoded body is equivalent, not equal, and may be encoded differently the next time.
func weak(etag []byte) []byte {
	if bytes.HasPrefix(etag, []byte("W/")) {
		return etag
	}
	return append([]byte("W/"), etag...)
}

// addVary adds Accept-Encoding to the Vary fields of a response, whose list they are.
func addVary(r *message.Response, list []byte) {
	for rest := list; len(rest) > 0; {
		var item []byte
		if item, rest = message.NextListItem(rest); string(item) == "*" || message.EqualFold(item, "accept-encoding") {
			return
		}
	}
	all := []byte("Accept-Encoding")
	if len(list) > 0 {
		all = append(append(bytes.Clone(list), ", "...), all...)
		r.Fields = without(r.Fields, func(f *message.Field) bool { return message.EqualFold(f.Name, "vary") })
	}
	r.AddBytes(nameVary, all)
}

// without removes the fields for which drop holds, in place.
func without(fields []message.Field, drop func(*message.Field) bool) []message.Field {
	kept := fields[:0]
	for i := range fields {
		if !drop(&fields[i]) {
			kept = append(kept, fields[i])
		}
	}
	return kept
}

// refusesTransforms reports whether the client wants the response as the backend sent it (RFC 9111 section 5.2.1.6).
func refusesTransforms(r *message.Request) bool {
	for i := range r.Fields {
		if f := &r.Fields[i]; message.EqualFold(f.Name, "cache-control") && hasDirective(f.Value, "no-transform") {
			return true
		}
	}
	return false
}

// hasDirective reports whether a Cache-Control field has a directive. One within a quoted string is found too.
func hasDirective(list []byte, name string) bool {
	for len(list) > 0 {
		var item []byte
		if item, list = message.NextListItem(list); message.EqualFold(item, name) {
			return true
		}
	}
	return false
}
