package cache

import (
	"bytes"
	"encoding/binary"
	"strings"

	"lb/message"
)

// maxKey is the longest key of a response, in bytes. Requests with a longer one bypass the cache.
const maxKey = 4 << 10

// Key says which parts of a request its response depends on, beside the scheme and the path.
type Key struct {
	host, query bool
	parts       []keyPart
}

type keyPart struct {
	kind keyKind
	name string // in lower case, except of a cookie
}

type keyKind uint8

const (
	keyHeader keyKind = iota
	keyCookie
	keyQuery
)

// NewKey reads a key as the configuration spells it: host, query, query:NAME, header:NAME and cookie:NAME. Anything else, which the
// configuration refuses, is ignored. An empty list means host and query.
func NewKey(list []string) (k Key) {
	if len(list) == 0 {
		return Key{host: true, query: true}
	}
	for _, item := range list {
		kind, name, named := strings.Cut(item, ":")
		switch {
		case item == "host":
			k.host = true
		case item == "query":
			k.query = true
		case !named:
		case kind == "query":
			k.parts = append(k.parts, keyPart{keyQuery, strings.ToLower(name)})
		case kind == "header":
			k.parts = append(k.parts, keyPart{keyHeader, strings.ToLower(name)})
		case kind == "cookie":
			k.parts = append(k.parts, keyPart{keyCookie, name})
		}
	}
	return k
}

// append appends the key of a request. Each part ends with a line feed, which no part can contain.
func (k *Key) append(dst []byte, q *Request) []byte {
	scheme := byte('h')
	if q.Secure {
		scheme = 's'
	}
	dst = append(dst, scheme)
	if k.host {
		dst = appendHost(dst, q.Head.Authority, q.Secure)
	}
	dst = append(append(dst, '\n'), q.Path...)
	if k.query {
		dst = append(dst, q.Query...)
	}
	dst = append(dst, '\n')
	for i := range k.parts {
		p := &k.parts[i]
		switch p.kind {
		case keyHeader:
			dst = appendValues(dst, q, p.name)
		case keyCookie:
			dst = appendPairs(dst, q.Head.Fields, p.name)
		case keyQuery:
			dst = appendParameters(dst, q.Query, p.name)
		}
	}
	if q.Trusted { // the backend gets these as they are
		for i := range q.Head.Fields {
			switch f := &q.Head.Fields[i]; f.Kind {
			case message.Forwarded, message.XForwarded, message.XForwardedProto, message.XForwardedHost:
				dst = message.AppendLower(dst, f.Name)
				dst = append(append(append(dst, ':'), f.Value...), '\n')
			}
		}
	}
	return dst
}

// appendHost appends an authority in lower case and without the default port.
func appendHost(dst, authority []byte, secure bool) []byte {
	port := ":80"
	if secure {
		port = ":443"
	}
	return message.AppendLower(dst, bytes.TrimSuffix(authority, []byte(port)))
}

// appendValues appends the values of all fields of a name, each with its length, so that no value can look like two. Fields that
// Connection names are left out: the backend does not get them.
func appendValues(dst []byte, q *Request, lower string) []byte {
	for _, fields := range [...][]message.Field{q.Head.Fields, q.Found} {
		for i := range fields {
			if f := &fields[i]; !f.Hop && message.EqualFold(f.Name, lower) {
				dst = appendSized(dst, '+', f.Value)
			}
		}
	}
	return append(dst, '\n')
}

func appendSized(dst []byte, mark byte, value []byte) []byte {
	dst = append(dst, mark)
	dst = binary.AppendUvarint(dst, uint64(len(value)))
	return append(dst, value...)
}

// appendPairs appends the values of all cookies of a name. If a backend could find others in a field, as in a string or by decoding a
// name, it appends the whole field.
func appendPairs(dst []byte, fields []message.Field, name string) []byte {
	for i := range fields {
		f := &fields[i]
		if f.Hop || !message.EqualFold(f.Name, "cookie") {
			continue
		}
		start := len(dst)
		for rest := f.Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte{';'})
			key, value, _ := bytes.Cut(message.TrimSpace(pair), []byte{'='})
			if !plainCookie(key, value) {
				dst = appendSized(dst[:start], '*', f.Value)
				break
			}
			if string(key) == name {
				dst = appendSized(dst, '+', value)
			}
		}
	}
	return append(dst, '\n')
}

// plainCookie reports whether all backends read a cookie in the same way: with a token as its name, in which PHP decodes "%" and "+",
// and a value without quotes and commas, which began strings and other cookies in earlier standards.
func plainCookie(name, value []byte) bool {
	return message.IsToken(name) && bytes.IndexByte(name, '%') < 0 && bytes.IndexByte(name, '+') < 0 &&
		bytes.IndexByte(value, '"') < 0 && bytes.IndexByte(value, ',') < 0 && bytes.IndexByte(value, '\\') < 0
}

// appendParameters appends all parameters of a name, in any case and undecoded. If the backend could find the name in another place of the
// query, such as "p%61ge", it appends the whole query: otherwise the response to that could be stored for a query without the name.
func appendParameters(dst, query []byte, lower string) []byte {
	start := len(dst)
	for rest := bytes.TrimPrefix(query, []byte{'?'}); len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte{'&'})
		name, _, _ := bytes.Cut(pair, []byte{'='})
		if !plainName(name) || bytes.IndexByte(pair, ';') >= 0 {
			return append(appendSized(dst[:start], '*', query), '\n')
		}
		if message.EqualFold(name, lower) {
			dst = appendSized(dst, '+', pair)
		}
	}
	return append(dst, '\n')
}

// plainName reports whether all backends read the name of a parameter in the same way.
func plainName(name []byte) bool {
	for _, c := range name {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
