package config

// ACME says how certificates are obtained from ACME servers (RFC 8555).
type ACME struct {
	Pos     Pos
	Domains []string // host names and addresses, each with a certificate of its own
	Email   string
	// Directories are the servers in the order in which they are tried. There is at least one.
	Directories []ACMEDirectory
	Storage     string   // the directory that keeps accounts and certificates
	Challenges  []string // "http-01" and "tls-alpn-01", or one of them, or "dns-01"
	// DNSExec is the program that sets the records of dns-01; empty without dns-01.
	DNSExec string
	// Ask is the URL that decides about certificates on demand; empty: there are none.
	Ask string
}

// ACMEDirectory is an ACME server.
type ACMEDirectory struct {
	Pos       Pos
	Directory string // the URL of its directory
	CA        string // a PEM file with an extra trust root, for a private server
	Profile   string // of certificates; empty: the server's default
	EAB       *EAB   // nil: none
}

// EAB is the external account that an account at the ACME server is bound to (RFC 8555 section 7.3.4).
type EAB struct {
	KID  string
	HMAC Secret
}

// LetsEncrypt is the directory that is used unless the configuration names one.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"
