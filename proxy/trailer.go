package proxy

import "lb/internal/wire"

// appendLastChunk appends the end of a chunked body: the last chunk, those of the trailer lines that may
// stand there (RFC 9110 section 6.5.1) and that the head does not name in Connection, and the blank line.
func appendLastChunk(b, trailer []byte, head []wire.Field) []byte {
	b = append(b, "0\r\n"...)
	if len(trailer) > 0 {
		var options wire.ConnectionOptions
		options.Read(head)
		// What no parser would read the same is left out, and with it all the rest.
		fields, err := wire.ParseFields(trailer, nil)
		for i := 0; err == nil && i < len(fields); i++ {
			if !wire.ForbiddenInTrailer(&fields[i]) && !options.Name(&fields[i]) {
				b = append(b, fields[i].Line...)
			}
		}
	}
	return append(b, '\r', '\n')
}

// maxAnnounced bounds what is looked at of a Trailer field, which is only a hint.
const maxAnnounced = 100

// appendTrailerField appends a Trailer field, as a list without gaps and without the names of what is taken out
// of the trailer, for which options are those of the head: some parsers refuse a whole message for them.
func appendTrailerField(b []byte, f *wire.Field, options *wire.ConnectionOptions) []byte {
	before := len(b)
	b = append(b, f.Name...)
	separator := ": "
	count := 0
	for list := f.Value; len(list) > 0 && count < maxAnnounced; count++ {
		var name []byte
		name, list = wire.NextListItem(list)
		named := wire.Field{Name: name, Kind: wire.KindOf(name)}
		if wire.IsToken(name) && !wire.ForbiddenInTrailer(&named) && !options.Name(&named) {
			b = append(append(b, separator...), name...)
			separator = ", "
		}
	}
	if separator == ": " {
		return b[:before]
	}
	return append(b, '\r', '\n')
}
