package proxy

import "lb/internal/wire"

// appendLastChunk appends the end of a chunked body: the last chunk, those of the trailer lines that may
// stand there (RFC 9110 section 6.5.1), and the blank line.
func appendLastChunk(b, trailer []byte) []byte {
	b = append(b, "0\r\n"...)
	if len(trailer) > 0 {
		// What no parser would read the same is left out, and with it all the rest.
		fields, err := wire.ParseFields(trailer, nil)
		for i := 0; err == nil && i < len(fields); i++ {
			if !wire.ForbiddenInTrailer(&fields[i]) {
				b = append(b, fields[i].Line...)
			}
		}
	}
	return append(b, '\r', '\n')
}

// appendTrailerField appends a Trailer field, without the names of what is taken out of the trailer: it does
// not come, and some parsers refuse a whole message that announces it.
func appendTrailerField(b []byte, f *wire.Field) []byte {
	start, named, dropped := len(b), 0, 0
	b = append(append(b, f.Name...), ':')
	for list := f.Value; len(list) > 0; {
		var name []byte
		if name, list = wire.NextListItem(list); len(name) == 0 {
			continue
		}
		if !wire.IsToken(name) || wire.ForbiddenInTrailer(&wire.Field{Name: name, Kind: wire.KindOf(name)}) {
			dropped++
			continue
		}
		if named++; named > 1 {
			b = append(b, ',')
		}
		b = append(append(b, ' '), name...)
	}
	switch {
	case dropped == 0:
		return append(b[:start], f.Line...)
	case named == 0:
		return b[:start]
	}
	return append(b, '\r', '\n')
}
