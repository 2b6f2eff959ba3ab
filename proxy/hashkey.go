package proxy

import (
	"lb/internal/stablehash"
	"lb/message"
)

// HashKey says which part of a request is hashed to choose its backend. With the zero value every request has the key 0.
//
// Keys are the same in every process, so that several balancers in front of the same backends agree.
type HashKey struct {
	part     keyPart
	selector message.Selector // of keySelected
}

type keyPart uint8

const (
	keyNone keyPart = iota
	keyClient
	keyPath
	keyURI
	keySelected
)

// NewHashKey reads a hash_key as the configuration spells it: client_ip, path, uri, header:NAME or
// cookie:NAME. Anything else, which the configuration refuses, means the client's address.
func NewHashKey(text string) HashKey {
	switch text {
	case "path":
		return HashKey{part: keyPath}
	case "uri":
		return HashKey{part: keyURI}
	}
	if selector, ok := message.NewSelector(text); ok {
		return HashKey{keySelected, selector}
	}
	return HashKey{part: keyClient}
}

// of returns the key of a request. A request without that header or cookie, or with an empty one, is keyed by the client's
// address; on a unix socket, which has none, all such requests have the same key.
func (k HashKey) of(x *Exchange) uint64 {
	if key, ok := k.ofHead(x); ok {
		return key
	}
	address := x.clientIP.As16()
	return stablehash.New().Add(address[:]).Sum()
}

// ofHead returns the key if it depends on the request's head alone; ok is false if it depends on the client's address.
func (k HashKey) ofHead(x *Exchange) (key uint64, ok bool) {
	switch k.part {
	case keyNone:
		return 0, true
	case keyPath:
		return stablehash.New().Add(x.clean).Sum(), true
	case keyURI:
		return stablehash.New().Add(x.clean).Add(x.query).Sum(), true
	}
	value := k.selector.Value(x.Request.Fields)
	if len(value) == 0 {
		return 0, false
	}
	return stablehash.New().Add(value).Sum(), true
}
