package proxyprotocol

import (
	"encoding/binary"
	"net/netip"
)

// Connection is what a header says of a client's connection. Version 1 says only the addresses.
type Connection struct {
	Source      netip.AddrPort // of the client; not valid: unknown, as on a Unix socket
	Destination netip.AddrPort // where the client connected to; not valid: unknown

	TLSVersion string // like "TLSv1.3"; "": no TLS
	ClientCert bool   // the client has a certificate, which was verified
	ALPN       string // the protocol negotiated by TLS, like "h2"; "": none
	Authority  []byte // the server name in the TLS handshake; nil: none
}

// maxValue bounds the values of extensions, so that any header fits in the first packet. A server name has up to 255 bytes.
const maxValue = 255

// MaxUniqueID is the largest unique ID in bytes (section 2.2.5).
const MaxUniqueID = 128

// Append appends the header of a client's connection to b. Equal connections have equal headers. With version None it appends nothing.
func Append(b []byte, v Version, c *Connection) []byte {
	switch v {
	case V1:
		return appendV1(b, c)
	case V2:
		return appendV2(b, c)
	}
	return b
}

// AppendLocal appends the header of a connection that the proxy makes for itself, such as a health check.
func AppendLocal(b []byte, v Version) []byte {
	switch v {
	case V1:
		return append(b, "PROXY UNKNOWN\r\n"...)
	case V2:
		return append(append(b, v2Start...), v2Version|v2Local, v2Unspecified, 0, 0)
	}
	return b
}

// addresses returns the addresses in one family, IPv4 as mapped IPv6 if the other one is IPv6. An unknown destination is the unspecified
// address. ok is false without a source.
func (c *Connection) addresses() (source, destination netip.AddrPort, ok bool) {
	if !c.Source.IsValid() {
		return source, destination, false
	}
	s, d := c.Source.Addr().Unmap().WithZone(""), c.Destination.Addr().Unmap().WithZone("")
	switch {
	case !d.IsValid() && s.Is4():
		d = netip.IPv4Unspecified()
	case !d.IsValid():
		d = netip.IPv6Unspecified()
	case s.Is4() != d.Is4():
		s, d = netip.AddrFrom16(s.As16()), netip.AddrFrom16(d.As16())
	}
	return netip.AddrPortFrom(s, c.Source.Port()), netip.AddrPortFrom(d, c.Destination.Port()), true
}

func appendV1(b []byte, c *Connection) []byte {
	source, destination, ok := c.addresses()
	if !ok {
		return AppendLocal(b, V1)
	}
	family := "TCP6 "
	if source.Addr().Is4() {
		family = "TCP4 "
	}
	b = append(append(b, v1Start...), family...)
	b = append(source.Addr().AppendTo(b), ' ')
	b = append(destination.Addr().AppendTo(b), ' ')
	b = append(appendPort(b, source.Port()), ' ')
	return append(appendPort(b, destination.Port()), "\r\n"...)
}

func appendPort(b []byte, port uint16) []byte {
	divisor := uint16(10000)
	for divisor > 1 && port < divisor {
		divisor /= 10
	}
	for ; divisor > 0; divisor /= 10 {
		b = append(b, byte('0'+port/divisor%10))
	}
	return b
}

func appendV2(b []byte, c *Connection) []byte {
	start := len(b)
	b = append(append(b, v2Start...), v2Version|v2Proxy, v2Unspecified, 0, 0)
	if source, destination, ok := c.addresses(); ok {
		if source.Addr().Is4() {
			s, d := source.Addr().As4(), destination.Addr().As4()
			b[start+13] = v2TCP4
			b = append(append(b, s[:]...), d[:]...)
		} else {
			s, d := source.Addr().As16(), destination.Addr().As16()
			b[start+13] = v2TCP6
			b = append(append(b, s[:]...), d[:]...)
		}
		b = binary.BigEndian.AppendUint16(b, source.Port())
		b = binary.BigEndian.AppendUint16(b, destination.Port())
	}
	b = appendExtension(b, typeALPN, c.ALPN)
	b = appendExtension(b, typeAuthority, c.Authority)
	if c.TLSVersion != "" {
		b = appendSSL(b, c)
	}
	setLength(b[start:])
	return b
}

// AppendUniqueID appends an ID to a header that Append has just appended to b from start on. Version 1 has no place for it, and one over
// MaxUniqueID is left out.
func AppendUniqueID(b []byte, start int, v Version, id []byte) []byte {
	if v != V2 || len(id) > MaxUniqueID {
		return b
	}
	b = appendExtension(b, typeUniqueID, id)
	setLength(b[start:])
	return b
}

// appendExtension leaves out an empty value, and one that is too long.
func appendExtension[T string | []byte](b []byte, kind byte, value T) []byte {
	if len(value) == 0 || len(value) > maxValue {
		return b
	}
	return append(append(b, kind, 0, byte(len(value))), value...)
}

// appendSSL appends what is known of TLS (section 2.2.6).
func appendSSL(b []byte, c *Connection) []byte {
	client, verify := byte(clientSSL), byte(1) // 0: a certificate was verified
	if c.ClientCert {
		client, verify = clientSSL|clientCertSess, 0
	}
	at := len(b)
	b = append(b, typeSSL, 0, 0, client, 0, 0, 0, verify)
	b = appendExtension(b, typeSSLVersion, c.TLSVersion)
	binary.BigEndian.PutUint16(b[at+1:], uint16(len(b)-at-3))
	return b
}

func setLength(header []byte) { binary.BigEndian.PutUint16(header[14:], uint16(len(header)-v2Min)) }
