package cache

import (
	"encoding/binary"

	"lb/message"
)

// Outcome says what to do with a request.
type Outcome uint8

// The outcomes of a lookup.
const (
	Bypass     Outcome = iota // forward it, and store nothing
	Hit                       // send Entry
	Refresh                   // send Entry, which is stale, and have the backend asked for a new response meanwhile
	Forward                   // forward it: there is no response that may be used
	Validate                  // forward it with the validators of Entry
	NotCached                 // 504: the client wants no other than a stored response, and there is none
	Invalidate                // forward it; if it succeeds, the stored responses to its URL do not hold any more
)

// Lookup is the result of looking a request up.
type Lookup struct {
	Outcome Outcome
	Entry   *Entry // with Forward: for use if the backend fails; nil: none
	Why     string // why the request is forwarded, as the fwd parameter of Cache-Status spells it (RFC 9211 section 2.2)
	// Key identifies the response. It is in the buffer that Look was called with.
	Key []byte
	// Leads says that others may wait for the response, Waits that the request may wait for the response to another one.
	Leads, Waits bool

	primary int // length of the part of Key that does not depend on Vary
	asked   asked
	purges  uint64
	epoch   uint32
}

// Look looks a request up. The key is made in buf, which is enlarged if it is too small.
func (r *Route) Look(q *Request, buf []byte) (l Lookup) {
	l.asked = ask(q)
	a := &l.asked
	l.Key, l.Why = buf[:0], "bypass"
	switch {
	case a.method == methodSafe:
		l.Why = "method"
		return l
	case a.method == methodUnsafe:
		l.Why = "method"
	case a.bypass:
		return l
	}
	if len(q.Path)+len(q.Query) > maxKey {
		return l
	}
	l.Key = r.Key.append(append(l.Key, r.space...), q)
	l.primary = len(l.Key)
	if l.primary > maxKey {
		return l
	}
	if a.method == methodUnsafe {
		l.Outcome = Invalidate
		return l
	}
	l.purges, l.epoch = r.purges.Load(), r.Cache.epoch(l.Key).Load()
	l.Waits = !a.noCache && !a.noStore && !a.authorized
	l.Leads = l.Waits && a.method == methodGet && !a.conditional && !a.ranged
	r.find(&l, q)
	if a.onlyIfCached && l.Outcome >= Forward {
		l.Outcome = NotCached
	}
	return l
}

// find looks for the response.
func (r *Route) find(l *Lookup, q *Request) {
	l.Outcome, l.Why = Forward, "uri-miss"
	value := r.section.Get(l.Key)
	if x, ok := value.(*index); ok {
		l.Why = "vary-miss"
		l.Key = appendVariant(appendGeneration(l.Key, x.generation), x.names, q)
		value = r.section.Get(l.Key)
	}
	switch value := value.(type) {
	case *lone:
		if q.Now < value.until {
			l.Leads, l.Waits = false, false
		}
	case *Entry:
		if l.asked.authorized && !value.shared {
			l.Outcome, l.Why = Forward, "bypass"
			return
		}
		l.choose(value, q)
	}
}

// choose decides what an entry is used for (RFC 9111 section 4.2).
func (l *Lookup) choose(e *Entry, q *Request) {
	a := &l.asked
	l.Entry = e
	age := e.Age(q.Now)
	left := e.lifetime - age
	l.Why = "stale"
	switch {
	case a.noCache, a.maxAge != none && age > a.maxAge, a.minFresh != none && left > 0 && left < a.minFresh:
		l.Why, l.Waits, l.Leads = "request", false, false
	case e.revalidate: // each request for itself
		l.Waits, l.Leads = false, false
	case left > 0:
		l.Outcome = Hit
		return
	case a.minFresh == none && !e.strict && (a.maxOld != none && -left <= a.maxOld || -left < e.staleIfError && q.Now < e.failed.Load()):
		l.Outcome = Hit
		return
	case a.minFresh == none && -left < e.staleWhile:
		if l.Outcome = Refresh; q.Now < e.failed.Load() {
			l.Outcome = Hit
		}
		l.Leads, a.method = true, methodGet // of the request that refreshes it
		return
	}
	if e.Validates() && !a.noStore {
		l.Outcome = Validate
		l.Leads = l.Waits && a.method == methodGet
	}
}

// appendGeneration appends to the key of an index what begins the keys of its responses. No other key goes on with a NUL.
func appendGeneration(key []byte, generation uint64) []byte {
	return binary.BigEndian.AppendUint64(append(key, 0), generation)
}

// appendVariant appends the values of the request fields that a Vary field names (RFC 9111 section 4.1).
func appendVariant(dst []byte, names []string, q *Request) []byte {
	for _, name := range names {
		if name == "accept-encoding" || name == "accept-language" {
			dst = appendTokens(dst, q, name)
		} else {
			dst = appendValues(dst, q, name)
		}
	}
	return dst
}

// appendTokens is appendValues for a field in which neither the case of letters matters nor spaces beside a separator.
func appendTokens(dst []byte, q *Request, lower string) []byte {
	for _, fields := range [...][]message.Field{q.Head.Fields, q.Found} {
		for i := range fields {
			f := &fields[i]
			if f.Hop || !message.EqualFold(f.Name, lower) {
				continue
			}
			start := len(dst) + 1
			dst = append(dst, '+')
			for _, c := range f.Value {
				switch {
				case isSpace(c) && (len(dst) == start || isSeparator(dst[len(dst)-1])):
					continue
				case isSeparator(c):
					for len(dst) > start && isSpace(dst[len(dst)-1]) {
						dst = dst[:len(dst)-1]
					}
				case 'A' <= c && c <= 'Z':
					c |= 0x20
				}
				dst = append(dst, c)
			}
			dst = append(dst, ',')
		}
	}
	return append(dst, '\n')
}

func isSpace(c byte) bool     { return c == ' ' || c == '\t' }
func isSeparator(c byte) bool { return c == ',' || c == ';' || c == '=' }
