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
	Pattern string // as written: "/images/", "= /ping" or "~ ^/[0-9]+$"
	Path    string // the pattern without "= "; empty with Regexp
	Regexp  string // the pattern without "~ ", a valid regular expression of RE2; empty: there is none
	Exact   bool   // the pattern was "= /path"; otherwise Path is a prefix

	Methods []string // upper case; empty: all
	Headers []Header // all must match; empty: no condition
	Query   []Header // pairs of the query that must be there; empty: no condition

	MaxBody int64 // bytes of a request body; over it: 413; 0: as limits.body_size says

	// AmbiguousPaths is "reject", or "allow" for paths that a backend could read as those of another route with
	// "allow".
	AmbiguousPaths string

	Allow []netip.Prefix // if not empty, all other clients get 403
	Deny  []netip.Prefix
	// AllowFile and DenyFile are files of networks that count as those of Allow and Deny; they are watched. Empty: none.
	AllowFile, DenyFile string

	RateLimits  []RateLimit   // all apply
	Concurrency []Concurrency // all apply
	BasicAuth   *BasicAuth    // nil: none

	ForwardAuth *ForwardAuth // nil: none
	JWT         *JWT         // nil: none

	CORS          *CORS // nil: none
	SecureHeaders bool  // add the fields by which browsers protect a site

	RequestHeaders  HeaderRules // towards the backend
	ResponseHeaders HeaderRules // towards the client

	Hints    []string  // paths, and origins as "https://cdn.example.com", that pages of the route need
	Compress *Compress // nil: responses of backends are sent as they are
	Cache    *Cache    // nil: none; only together with Proxy
	Mirror   *Mirror   // nil: none; only together with Proxy

	Extensions []Extended // blocks of extensions, in the order in which the build names those

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
	Pos    Pos
	Key    string        // client_ip, path, header:NAME, cookie:NAME or jwt:CLAIM, the latter only together with JWT
	Rate   float64       // requests a second
	Window time.Duration // the unit of the rate as written: a second, a minute or an hour
	Burst  int
	Redis  Secret // "redis://…": one limit for a whole fleet; empty: for this process alone
	// RedisDown is what happens while Redis cannot be used: "open", requests pass, or "closed", they are refused.
	RedisDown string
}

// Concurrency bounds the requests of one client that are in flight.
type Concurrency struct {
	Pos   Pos
	Key   string // as of RateLimit
	Limit int    // from 1
}

// BasicAuth requires a user name and a password (RFC 7617).
type BasicAuth struct {
	Pos       Pos
	UsersFile string // in the format of htpasswd, with hashes of bcrypt or Argon2
	Realm     string // tells people which password is asked for
}

// ForwardAuth asks a service whether a request may pass.
type ForwardAuth struct {
	Pos         Pos
	Pool        string   // the name of a pool in Config.Pools
	Path        string   // of the request to the service, perhaps with a query
	CopyHeaders []string // fields of the service's response that the backend gets
}

// JWT requires a token (RFC 7519).
type JWT struct {
	Pos      Pos
	JWKS     string // a URL or a file with the keys that tokens are signed with (RFC 7517)
	Issuer   string // empty: any
	Audience string // empty: any
	// ClaimsToHeaders are the fields that the backend gets, with the name of the claim as value.
	ClaimsToHeaders []Header
}

// CORS lets web pages of other origins use the route.
type CORS struct {
	Pos         Pos
	Origins     []string // "https://app.example.com", "https://*.example.com", or "*" alone; in lower case
	Methods     []string // empty: GET, HEAD, POST
	Headers     []string // field names, or "*"
	Credentials bool     // not with the origin "*"
	MaxAge      time.Duration
}

// Compress compresses the responses of backends.
type Compress struct {
	Pos     Pos
	Types   []string // media types, as "text/html", "text/*" or "*+json"
	MinSize int64    // bytes; shorter responses are sent as they are
	Level   int      // from coding.LeastLevel to coding.MostLevel
}

// Static serves files.
type Static struct {
	Pos          Pos
	Root         string   // a directory
	StripPrefix  bool     // cut the route's path before the rest is appended to Root
	Index        []string // files that are served for their directory
	TryFiles     []string // templates with {path}; the last may be "=404" or "/fallback.html"
	CacheControl string   // empty: no such field
	// CacheControls are values for files that match a pattern, in the order in which they apply, those of immutable at the end.
	CacheControls []CacheControl
	Compress      bool // zstd, br, gzip
	Browse        bool // list directories
	WarmUp        bool // read the files into memory at the start
	DotFiles      bool // serve names that begin with a dot
}

// CacheControl is a value for files that match a pattern, as "*.html" or "/assets/*".
type CacheControl struct{ Pattern, Value string }

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
	RetryOn  []string       // as Retry.On of the pool, instead of it; nil: the pool's
}

// RetriesOn returns after what requests of the route are retried in a pool.
func (p *Proxy) RetriesOn(pool *Pool) []string {
	if p.RetryOn != nil {
		return p.RetryOn
	}
	return pool.Retry.On
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
