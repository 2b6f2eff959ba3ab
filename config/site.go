package config

import (
	"net/netip"
	"time"
)

// Site is what is served for a set of host names.
type Site struct {
	Pos  Pos
	Name string
	// Hosts are lower-case names without port, "*.example.org" for all names
	// below one. Empty: the default site, of which there is at most one.
	Hosts       []string
	Maintenance *Maintenance // nil: none
	ErrorPages  []ErrorPage
	Routes      []Route // in the order of the file
}

// Maintenance is the maintenance page.
type Maintenance struct {
	Pos Pos
	// Page is an HTML file, also served while a pool has no usable backend.
	// Empty: the balancer's own 503.
	Page string
	// File is a path. While a file exists there, the site responds with 503 and the page. Empty: none.
	File string
}

// ErrorPage replaces the body of the balancer's own responses with these statuses.
type ErrorPage struct {
	Pos    Pos
	Status []int
	File   string
}

// Route is a rule for one part of a site. Exactly one of Static, Proxy,
// Redirect and Respond is not nil.
type Route struct {
	Pos     Pos
	Pattern string // as written: "/images/" or "= /ping"
	Path    string // the pattern without "= "
	Exact   bool   // the pattern was "= /path"; otherwise Path is a prefix

	Methods []string // upper case; empty: all
	Headers []Header // all must match; empty: no condition

	// AmbiguousPaths is "reject", or "allow" for paths that a backend could read as those of another route with
	// "allow".
	AmbiguousPaths string

	Allow []netip.Prefix // if not empty, all other clients get 403
	Deny  []netip.Prefix

	RateLimit *RateLimit // nil: none
	BasicAuth *BasicAuth // nil: none

	RequestHeaders  HeaderRules // towards the backend
	ResponseHeaders HeaderRules // towards the client

	Static   *Static
	Proxy    *Proxy
	Redirect *Redirect
	Respond  *Respond
}

// Header is a header field.
type Header struct {
	Name  string // a valid field name (RFC 9110, section 5.1), as written
	Value string // without CR, LF and NUL
}

// HeaderRules change the fields of a message: first Remove, then Set, then Add.
// The zero value changes nothing.
type HeaderRules struct {
	Pos    Pos
	Set    []Header
	Add    []Header
	Remove []string
}

// RateLimit bounds the requests of one client.
type RateLimit struct {
	Pos   Pos
	Key   string  // client_ip, header:NAME or cookie:NAME
	Rate  float64 // requests a second
	Burst int
	Redis Secret // "redis://…": one limit for a whole fleet; empty: this process alone
}

// BasicAuth requires a user name and a password (RFC 7617).
type BasicAuth struct {
	Pos       Pos
	UsersFile string // htpasswd format, bcrypt
}

// Static serves files.
type Static struct {
	Pos          Pos
	Root         string   // a directory
	StripPrefix  bool     // cut the route's path before the rest is appended to Root
	Index        []string // files that are served for their directory
	TryFiles     []string // templates with {path}; the last may be "=404" or "/fallback.html"
	CacheControl string   // empty: no such field
	Compress     bool     // zstd, br, gzip; false, as this version does not support it
	Browse       bool     // list directories
	DotFiles     bool     // serve names that begin with a dot
}

// Proxy forwards to a pool.
type Proxy struct {
	Pos         Pos
	Pool        string  // the name of a pool in Config.Pools; empty if Split is set
	Split       []Share // pools by weight; empty if Pool is set
	StripPrefix bool    // cut the route's path from the request's
	Rewrite     string  // a template for the path, as "/v2{path}"; empty: unchanged
	Host        string  // the Host field for the backend; empty: the client's is kept

	// BufferRequest is the size in bytes up to which a request body is received completely before a backend is
	// picked. 0: bodies are streamed.
	BufferRequest int64
	// BufferResponse is how many bytes of a response are read from the backend ahead of the client. 0: none.
	BufferResponse int64
	// BufferDir is the directory for the part of a buffered body above 64 KiB. Empty: it stays in memory.
	BufferDir string

	Timeouts *RouteTimeouts // nil: the pool's
}

// RouteTimeouts override the pool's timeouts where they are not 0.
type RouteTimeouts struct {
	Pos      Pos
	Response time.Duration // from the request sent to the response head
	Idle     time.Duration // between two reads or writes of a body
}

// Share is a pool's part of a split.
type Share struct {
	Pool   string
	Weight int // 0 to limits.MaxConfiguredWeight, relative to the sum of all shares, which is above 0
}

// Redirect responds with another location.
type Redirect struct {
	Pos    Pos
	To     string // a template for the Location, as "/new/{rest}"
	Status int    // 301, 302, 303, 307 or 308
}

// Respond responds with a fixed body.
type Respond struct {
	Pos         Pos
	Status      int
	Body        string
	ContentType string
}
