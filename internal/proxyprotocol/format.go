// Package proxyprotocol reads and writes the header of the PROXY protocol, versions 1 and 2, by which a proxy names the client of a
// connection: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt.
package proxyprotocol

// Version is a version of the header. Zero is no header.
type Version uint8

// The versions.
const (
	None Version = iota
	V1           // a line of text
	V2           // binary, with extensions
)

const (
	v1Start = "PROXY "
	v1Min   = len("PROXY UNKNOWN\r\n")
	v1Max   = 107 // bytes of a version 1 header, CRLF included

	v2Start = "\r\n\r\n\x00\r\nQUIT\n"
	v2Min   = 16
	v2Max   = 4 << 10 // bytes of addresses and extensions that Parse allows in version 2
)

// Commands and families of version 2.
const (
	v2Version = 0x20 // the high bits of the command
	v2Local   = 0x00
	v2Proxy   = 0x01

	v2Unspecified = 0x00
	v2TCP4        = 0x11
	v2TCP6        = 0x21
)

// Types of extensions of version 2, in sections 2.2.1 to 2.2.8.
const (
	typeALPN       = 0x01
	typeAuthority  = 0x02
	typeUniqueID   = 0x05
	typeSSL        = 0x20
	typeSSLVersion = 0x21

	clientSSL      = 0x01 // the client connected by TLS
	clientCertSess = 0x04 // and presented a certificate in this TLS session, which may be a resumed one
)
