package exchange

import (
	"strings"

	"lb/internal/stablehash"
	"lb/message"
)

// HashKey says which part of a request keeps it together with others on one backend. The zero value
// names nothing: every request has the key 0.
//
// Keys are the same in every process, so that several balancers before the same backends agree.
type HashKey struct {
	part keyPart
	name string // of the header, in lower case, or of the cookie
}

type keyPart uint8

const (
	keyNone keyPart = iota
	keyClient
	keyPath
	keyURI
	keyHeader
	keyCookie
)

// NewHashKey reads a hash_key as the configuration spells it: client_ip, path, uri, header:NAME or
// cookie:NAME. Anything else, which the configuration refuses, means the client's address.
func NewHashKey(text string) HashKey {
	kind, name, _ := strings.Cut(text, ":")
	switch kind {
	case "path":
		return HashKey{part: keyPath}
	case "uri":
		return HashKey{part: keyURI}
	case "header":
		return HashKey{keyHeader, strings.ToLower(name)}
	case "cookie":
		return HashKey{keyCookie, name}
	}
	return HashKey{part: keyClient}
}

// of returns the key of a request. One without that header or cookie, or with an empty one, goes by the
// client's address; those that come by a Unix socket without it are all alike.
func (k HashKey) of(x *Exchange) uint64 {
	if key, ok := k.ofHead(x); ok {
		return key
	}
	address := x.clientIP.As16()
	return stablehash.New().Add(address[:]).Sum()
}

// ofHead returns the key where the request's head alone makes it; ok is false where the client's address does.
func (k HashKey) ofHead(x *Exchange) (key uint64, ok bool) {
	var value []byte
	switch k.part {
	case keyNone:
		return 0, true
	case keyPath:
		return stablehash.New().Add(x.clean).Sum(), true
	case keyURI:
		return stablehash.New().Add(x.clean).Add(x.query).Sum(), true
	case keyHeader:
		value = headerNamed(x.Request.Fields, k.name)
	case keyCookie:
		value = cookieNamed(x.Request.Fields, k.name)
	}
	if len(value) == 0 {
		return 0, false
	}
	return stablehash.New().Add(value).Sum(), true
}

// headerNamed returns the first field of that name.
func headerNamed(fields []message.Field, lower string) []byte {
	for i := range fields {
		if message.EqualFold(fields[i].Name, lower) {
			return fields[i].Value
		}
	}
	return nil
}

// cookieNamed returns the value of the first cookie of that name, whose case matters (RFC 6265 section 5.4).
// HTTP/2 clients may send several Cookie fields.
func cookieNamed(fields []message.Field, name string) []byte {
	for i := range fields {
		if !message.EqualFold(fields[i].Name, "cookie") {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			pair := rest
			rest = nil
			for j, c := range pair {
				if c == ';' {
					pair, rest = pair[:j], pair[j+1:]
					break
				}
			}
			pair = message.TrimSpace(pair)
			if n := len(name); len(pair) > n && pair[n] == '=' && string(pair[:n]) == name {
				return pair[n+1:]
			}
		}
	}
	return nil
}
