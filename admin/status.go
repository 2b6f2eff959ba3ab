package admin

import "time"

// ReloadTimeout bounds a reload for its caller.
const ReloadTimeout = 2 * time.Minute

// Status is what GET /api/v1/status shows: lb as a whole.
type Status struct {
	Version   string     `json:"version"`
	GoVersion string     `json:"go_version"`
	PID       int        `json:"pid"`
	Ready     bool       `json:"ready"`
	Started   time.Time  `json:"started"`
	Uptime    float64    `json:"uptime_seconds"`
	Config    string     `json:"config,omitempty"` // the path that a reload reads
	InForce   time.Time  `json:"config_in_force_since"`
	Reload    *Reload    `json:"last_reload,omitempty"`
	Listeners []Listener `json:"listeners"`
	// Certificates are those for clients, the one that expires first before the others.
	Certificates []Certificate `json:"certificates,omitempty"`
	Sites        []Site        `json:"sites"`
	Totals       Totals        `json:"totals"`
}

// Reload is the result of the last reload. It is also the data of the "reload" event.
type Reload struct {
	Time        time.Time    `json:"time"`
	OK          bool         `json:"ok"` // false: the configuration before it is in force
	Error       string       `json:"error,omitempty"`
	Diagnostics []Diagnostic `json:"diagnostics,omitempty"` // without errors, the error came after the check
}

// Diagnostic is one problem of a configuration, with secrets masked.
type Diagnostic struct {
	Severity string `json:"severity"`       // error or warning
	File     string `json:"file,omitempty"` // where it is, if it is in one place
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"` // what to write instead
	Source   string `json:"source,omitempty"` // the line
}

// Listener is one address that clients connect to.
type Listener struct {
	Address     string `json:"address"`
	TLS         bool   `json:"tls"`
	HTTP3       bool   `json:"http3,omitempty"`   // on the UDP port of the same number
	Connections int64  `json:"connections"`       // open now
	Accepted    uint64 `json:"connections_total"` // since the start
}

// Certificate is a certificate that is presented to clients.
type Certificate struct {
	Subject   string    `json:"subject"`
	Names     []string  `json:"names"` // host names and addresses
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"` // zero: there is none yet
	NotAfter  time.Time `json:"not_after,omitzero"`
	File      string    `json:"file,omitempty"`  // that it came from
	ACME      bool      `json:"acme,omitempty"`  // it comes by ACME
	State     string    `json:"state"`           // valid, expiring, pending, failed, broken, not_yet_valid or expired
	Error     string    `json:"error,omitempty"` // why its files cannot be used, or why there is none yet
}

// Site is one site with its traffic since the start.
type Site struct {
	Name     string   `json:"name"`
	Hosts    []string `json:"hosts,omitempty"` // none: the default site
	Requests uint64   `json:"requests"`
	Errors   uint64   `json:"errors"` // responses with 5xx
	InFlight int64    `json:"in_flight"`
}

// Totals are the sums over all sites since the start.
type Totals struct {
	Requests    uint64 `json:"requests"`
	Errors      uint64 `json:"errors"` // responses with 5xx
	InFlight    int64  `json:"in_flight"`
	BytesIn     uint64 `json:"bytes_in"`
	BytesOut    uint64 `json:"bytes_out"`
	Connections int64  `json:"connections"`
}

// Reloaded is the body of the response to a successful reload; the diagnostics are warnings.
type Reloaded struct {
	Status      string `json:"status"`
	Diagnostics string `json:"diagnostics,omitempty"`
}
