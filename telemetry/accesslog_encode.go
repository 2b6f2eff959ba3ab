package telemetry

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendJSON appends one line of JSON. Fields that do not apply are left out.
func appendJSON(b []byte, e *Entry) []byte {
	b = append(b, `{"time":"`...)
	b = e.Time.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00") // RFC 3339
	b = append(b, `","client":"`...)
	b = appendClient(b, e.Client)
	b = append(b, '"')
	b = jsonField(b, `,"request_id":"`, e.RequestID)
	b = jsonField(b, `,"user":"`, e.User)
	b = jsonField(b, `,"site":"`, e.Site)
	b = jsonField(b, `,"route":"`, e.Route)
	b = jsonField(b, `,"pool":"`, e.Pool)
	b = jsonField(b, `,"backend":"`, e.Backend)
	b = jsonField(b, `,"method":"`, e.Method)
	b = jsonField(b, `,"host":"`, e.Host)
	b = jsonField(b, `,"target":"`, e.Target)
	b = jsonField(b, `,"protocol":"`, e.Protocol)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	if e.GRPC != "" {
		b = append(b, `,"grpc_status":`...)
		b = append(b, e.GRPC...)
	}
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, e.BytesIn, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, e.BytesOut, 10)
	b = append(b, `,"duration_ms":`...)
	b = appendMillis(b, e.Duration)
	if e.Upstream > 0 {
		b = append(b, `,"upstream_ms":`...)
		b = appendMillis(b, e.Upstream)
	}
	if e.Tries > 0 {
		b = append(b, `,"tries":`...)
		b = strconv.AppendInt(b, int64(e.Tries), 10)
	}
	b = jsonField(b, `,"referer":"`, e.Referer)
	b = jsonField(b, `,"user_agent":"`, e.UserAgent)
	b = jsonField(b, `,"tls":"`, e.TLS)
	b = jsonField(b, `,"error":"`, e.Error)
	return append(b, "}\n"...)
}

func jsonField[T string | []byte](b []byte, opening string, value T) []byte {
	if len(value) == 0 {
		return b
	}
	b = append(b, opening...)
	b = appendJSONString(b, value)
	return append(b, '"')
}

// appendJSONString appends what belongs between the quotes. Client input stays on the line: control characters, and
// those that some viewers treat as the end of a line, are escaped, and bytes that are not UTF-8 become U+FFFD.
func appendJSONString[T string | []byte](b []byte, s T) []byte {
	plain := 0 // start of the bytes that can be copied as they are
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = decodeRune(s[i:])
			if r > 0x9f && r != '\u2028' && r != '\u2029' && !(r == utf8.RuneError && size == 1) {
				i += size
				continue
			}
		}
		b = append(b, s[plain:i]...)
		if r == '"' || r == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		}
		i += size
		plain = i
	}
	return append(b, s[plain:]...)
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var first [utf8.UTFMax]byte
	return utf8.DecodeRune(first[:copy(first[:], s)])
}

// appendMillis appends milliseconds with three decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	micros := max(d, 0).Microseconds()
	b = strconv.AppendInt(b, micros/1000, 10)
	return append(b, '.', byte('0'+micros/100%10), byte('0'+micros/10%10), byte('0'+micros%10))
}

func appendClient(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, '-') // a peer on a Unix socket has none
	}
	return a.WithZone("").AppendTo(b)
}

// appendCombined appends a line of NCSA's combined format, which log analysers know.
func appendCombined(b []byte, e *Entry) []byte {
	b = appendClient(b, e.Client)
	b = append(b, " - "...)
	b = appendUser(b, e.User)
	b = append(b, " ["...)
	b = e.Time.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	if len(e.Method) == 0 {
		b = append(b, '-') // no valid request line
	} else {
		b = appendHexEscaped(b, e.Method)
		b = append(b, ' ')
		b = appendHexEscaped(b, e.Target)
		b = append(b, ' ')
		b = appendHexEscaped(b, e.Protocol)
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.BytesOut, 10)
	b = append(b, ` "`...)
	b = appendOrDash(b, e.Referer)
	b = append(b, `" "`...)
	b = appendOrDash(b, e.UserAgent)
	return append(b, "\"\n"...)
}

// appendUser appends the user, whose spaces become plus signs, since they would separate fields.
func appendUser(b []byte, user string) []byte {
	if user == "" {
		return append(b, '-')
	}
	start := len(b)
	b = appendHexEscaped(b, user)
	for i := start; i < len(b); i++ {
		if b[i] == ' ' {
			b[i] = '+'
		}
	}
	return b
}

func appendOrDash(b, s []byte) []byte {
	if len(s) == 0 {
		return append(b, '-')
	}
	return appendHexEscaped(b, s)
}

// appendHexEscaped writes quotes, backslashes and everything that is not printable ASCII as \xHH, as nginx does.
func appendHexEscaped[T string | []byte](b []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
