// Package coding has the content codings (RFC 9110 section 8.4.1) that lb applies: which one a client accepts, which media types are
// worth compressing, and the encoders.
package coding

import (
	"bytes"

	"lb/message"
)

// Coding is a content coding.
type Coding uint8

// The codings, in the order of preference for responses that are compressed while they are sent. Identity is the absence of a coding.
const (
	Identity Coding = iota
	Zstd
	Brotli
	Gzip
	Count
)

// All are the codings but Identity.
var All = [...]Coding{Zstd, Brotli, Gzip}

// Name returns the name of the coding in Content-Encoding; "" for Identity.
func (c Coding) Name() string { return [Count]string{"", "zstd", "br", "gzip"}[c] }

// Extension returns the extension of a file with the coding; "" for Identity.
func (c Coding) Extension() string { return [Count]string{"", ".zst", ".br", ".gz"}[c] }

// Accepted are the weights, in thousandths, that a client gives each coding. The zero value accepts only Identity.
type Accepted struct {
	weights [Count]int16
}

// Accept reads an Accept-Encoding field (RFC 9110 section 12.5.3), several lines of which are joined with commas. Items that are
// malformed are ignored. Of a coding that is named twice, the higher weight holds.
func Accept(list []byte) Accepted {
	const unnamed = -1
	weights := [Count]int16{unnamed, unnamed, unnamed, unnamed}
	star := int16(unnamed)
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte{','})
		name, parameters, weighted := bytes.Cut(item, []byte{';'})
		weight := int16(1000)
		if weighted {
			var ok bool
			if weight, ok = parseWeight(parameters); !ok {
				continue
			}
		}
		switch name = message.TrimSpace(name); {
		case string(name) == "*":
			star = max(star, weight)
		case message.EqualFold(name, "zstd"):
			weights[Zstd] = max(weights[Zstd], weight)
		case message.EqualFold(name, "br"):
			weights[Brotli] = max(weights[Brotli], weight)
		case message.EqualFold(name, "gzip"), message.EqualFold(name, "x-gzip"):
			weights[Gzip] = max(weights[Gzip], weight)
		case message.EqualFold(name, "identity"):
			weights[Identity] = max(weights[Identity], weight)
		}
	}
	var a Accepted
	for c := range weights {
		switch {
		case weights[c] != unnamed:
			a.weights[c] = weights[c]
		case star != unnamed && Coding(c) != Identity:
			a.weights[c] = star
		}
	}
	return a
}

// Weight returns the weight of a coding, 0 if the client does not accept it or prefers the unencoded response.
func (a Accepted) Weight(c Coding) int16 {
	if c == Identity || a.weights[c] < a.weights[Identity] {
		return 0
	}
	return a.weights[c]
}

// Best returns the coding with the highest weight, the first in the order of All among equal ones; Identity if none is accepted.
func (a Accepted) Best() (best Coding) {
	for _, c := range All {
		if w := a.Weight(c); w > 0 && (best == Identity || w > a.weights[best]) {
			best = c
		}
	}
	return best
}

// parseWeight reads the parameters of an item, of which there is only one: "q=0.5" (RFC 9110 section 12.4.2).
func parseWeight(b []byte) (int16, bool) {
	b = message.TrimSpace(b)
	if len(b) < 3 || b[0]|0x20 != 'q' || b[1] != '=' || len(b) > len("q=0.123") {
		return 0, false
	}
	b = b[2:]
	if b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 0, false
	}
	weight := 1000 * int16(b[0]-'0')
	if len(b) > 2 {
		unit := int16(100)
		for _, c := range b[2:] {
			if c < '0' || c > '9' {
				return 0, false
			}
			weight += unit * int16(c-'0')
			unit /= 10
		}
	}
	return weight, weight <= 1000
}

// is reports whether a name is a lower-case word, in any case.
