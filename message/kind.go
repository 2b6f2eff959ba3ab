package message

// Kind names the fields that the balancer itself looks at; all others are Other.
type Kind uint8

// The kinds of fields.
const (
	Other Kind = iota

	Host
	ContentLengthField
	TransferEncoding
	Connection
	KeepAlive
	ProxyConnection
	ProxyAuthenticate
	ProxyAuthorization
	TE
	Upgrade
	HTTP2Settings
	Trailer
	Expect
	CDNLoop // RFC 8586
	Proxy   // which a CGI application takes for the setting HTTP_PROXY

	Forwarded
	XForwarded // X-Forwarded-* but for the following three
	XForwardedFor
	XForwardedProto
	XForwardedHost
	XRealIP
	ClientCert // and Client-Cert-Chain (RFC 9440)
	Twin       // one of these, X-Request-Id or a framing field with underscores or dots, which many applications read as the same
	XRequestID

	Accept
	AcceptEncoding
	Date
	IdempotencyKey
	IfMatch
	IfModifiedSince
	IfNoneMatch
	IfRange
	IfUnmodifiedSince
	Range
	Referer
	UserAgent
)

// HopByHop reports whether a field of that kind is meant for the next hop alone
// (RFC 9110 section 7.6.1) and so is never passed on as it is.
func (k Kind) HopByHop() bool { return k >= Connection && k <= HTTP2Settings || k == TransferEncoding }

// KindOf returns the kind of a field name, in any case.
func KindOf(name []byte) Kind {
	if len(name) >= len("x-real-ip") && name[0]|0x20 == 'x' {
		return kindOfX(name)
	}
	switch len(name) {
	case 2:
		return pick(name, "te", TE)
	case 4:
		switch name[0] | 0x20 {
		case 'h':
			return pick(name, "host", Host)
		case 'd':
			return pick(name, "date", Date)
		}
	case 5:
		switch name[0] | 0x20 {
		case 'r':
			return pick(name, "range", Range)
		case 'p':
			return pick(name, "proxy", Proxy)
		}
	case 6:
		switch name[0] | 0x20 {
		case 'a':
			return pick(name, "accept", Accept)
		case 'e':
			return pick(name, "expect", Expect)
		}
	case 7:
		switch name[0] | 0x20 {
		case 't':
			return pick(name, "trailer", Trailer)
		case 'u':
			return pick(name, "upgrade", Upgrade)
		case 'r':
			return pick(name, "referer", Referer)
		}
	case 8:
		switch name[3] | 0x20 {
		case '-':
			return pick(name, "cdn-loop", CDNLoop)
		case 'm':
			return pick(name, "if-match", IfMatch)
		case 'r':
			return pick(name, "if-range", IfRange)
		}
	case 9:
		if name[0]|0x20 == 'f' {
			return pick(name, "forwarded", Forwarded)
		}
	case 10:
		switch name[0] | 0x20 {
		case 'c':
			return pick(name, "connection", Connection)
		case 'k':
			return pick(name, "keep-alive", KeepAlive)
		case 'u':
			return pick(name, "user-agent", UserAgent)
		}
	case 11:
		return twin(name, "client-cert", ClientCert)
	case 13:
		return pick(name, "if-none-match", IfNoneMatch)
	case 14:
		switch name[0] | 0x20 {
		case 'c':
			return twin(name, "content-length", ContentLengthField)
		case 'h':
			return pick(name, "http2-settings", HTTP2Settings)
		}
	case 15:
		switch name[0] | 0x20 {
		case 'a':
			return pick(name, "accept-encoding", AcceptEncoding)
		case 'i':
			return pick(name, "idempotency-key", IdempotencyKey)
		}
	case 16:
		return pick(name, "proxy-connection", ProxyConnection)
	case 17:
		switch name[0] | 0x20 {
		case 'c':
			return twin(name, "client-cert-chain", ClientCert)
		case 't':
			return twin(name, "transfer-encoding", TransferEncoding)
		case 'i':
			return pick(name, "if-modified-since", IfModifiedSince)
		}
	case 18:
		return pick(name, "proxy-authenticate", ProxyAuthenticate)
	case 19:
		switch name[0] | 0x20 {
		case 'p':
			return pick(name, "proxy-authorization", ProxyAuthorization)
		case 'i':
			return pick(name, "if-unmodified-since", IfUnmodifiedSince)
		}
	}
	return Other
}

// kindOfX is KindOf for the names that begin with an x.
func kindOfX(name []byte) Kind {
	const forwarded = "x-forwarded"
	switch len(name) {
	case 9:
		return twin(name, "x-real-ip", XRealIP)
	case 12:
		if name[2]|0x20 == 'r' {
			return twin(name, "x-request-id", XRequestID)
		}
	case 15:
		if kind := twin(name, "x-forwarded-for", XForwardedFor); kind != Other {
			return kind
		}
	case 16:
		if kind := twin(name, "x-forwarded-host", XForwardedHost); kind != Other {
			return kind
		}
	case 17:
		if kind := twin(name, "x-forwarded-proto", XForwardedProto); kind != Other {
			return kind
		}
	}
	switch {
	case len(name) == len(forwarded):
		return twin(name, forwarded, XForwarded)
	case len(name) > len(forwarded):
		return twin(name[:len(forwarded)+1], forwarded+"-", XForwarded)
	}
	return Other
}

func pick(name []byte, lower string, kind Kind) Kind {
	if EqualFold(name, lower) {
		return kind
	}
	return Other
}

// twin is pick for fields that must not be imitated: the same name with any dash written as an underscore is Twin, and so is one with a
// dot, which PHP reads as an underscore.
func twin(name []byte, lower string, kind Kind) Kind {
	same := true
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if (c == '_' || c == '.') && lower[i] == '-' {
			same = false
			continue
		}
		if c != lower[i] {
			return Other
		}
	}
	if same {
		return kind
	}
	return Twin
}
