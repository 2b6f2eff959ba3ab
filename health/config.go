package health

import (
	"net"
	"strconv"
	"strings"
	"time"

	"lb/internal/limits"
	"lb/pool"
)

// The kinds of probe.
const (
	HTTP = "http" // a request whose response is judged
	TCP  = "tcp"  // a connection, with the TLS handshake for a backend that speaks TLS
	GRPC = "grpc" // a call of the standard health service
)

// Config says how the backends of one pool are probed.
type Config struct {
	Type   string // HTTP (also when empty), TCP or GRPC
	Port   int    // of the probes' connections, for the Host field; 0: that of the backend's address
	Path   string // the request target; empty: "/"
	Method string // empty: GET
	Host   string // the Host field, or :authority; empty: the address of the probes, "localhost" for a unix socket

	// Status are the statuses that pass. A redirect is judged by its own status and never followed. Empty: 200-399.
	Status []StatusRange
	// Body must occur in the first 64 KiB of the response body. Empty: the body is not read.
	Body string

	Service string // of GRPC, whose status is asked for; empty: that of the whole server

	Interval     time.Duration // from the start of a probe to that of the next; 0: limits.ProbeInterval
	FastInterval time.Duration // the same while a backend is changing state, never above Interval; 0: limits.ProbeFastInterval
	Timeout      time.Duration // of the whole probe: connect, TLS, request, response; 0: limits.ProbeTimeout
	Jitter       float64       // the share of the interval, both ways, that is random; 0 to 1

	Rise int // passes in a row that make a backend up; 0: limits.ProbeRise
	Fall int // failures in a row that make it down; 0: limits.ProbeFall

	HTTP2 bool // the backends speak HTTP/2, with prior knowledge or, if Dial makes TLS connections, by ALPN
}

// StatusRange is the statuses From to To, both included.
type StatusRange struct{ From, To int }

// settings is a Config with its defaults filled in. It does not change once a loop has it.
type settings struct {
	Config
	statusText string
}

func newSettings(c Config) *settings {
	s := &settings{Config: c}
	setDefault(&s.Type, HTTP)
	setDefault(&s.Path, "/")
	setDefault(&s.Method, "GET")
	setDefault(&s.Interval, limits.ProbeInterval)
	setDefault(&s.FastInterval, limits.ProbeFastInterval)
	setDefault(&s.Timeout, limits.ProbeTimeout)
	setDefault(&s.Rise, limits.ProbeRise)
	setDefault(&s.Fall, limits.ProbeFall)
	s.FastInterval = min(s.FastInterval, s.Interval)
	s.Jitter = min(max(s.Jitter, 0), 1)
	if len(s.Status) == 0 {
		s.Status = []StatusRange{{200, 399}}
	}
	s.statusText = statusText(s.Status)
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (s *settings) passes(status int) bool {
	for _, r := range s.Status {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// statusText formats ranges as a configuration does: "200,300-399".
func statusText(ranges []StatusRange) string {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = strconv.Itoa(r.From)
		if r.To != r.From {
			words[i] += "-" + strconv.Itoa(r.To)
		}
	}
	return strings.Join(words, ",")
}

// request returns the bytes of an HTTP probe of b. The connection option is "close" or "keep-alive".
func (s *settings) request(b *pool.Backend, version, connection string) []byte {
	return []byte(s.Method + " " + s.Path + " HTTP/1.1\r\n" +
		"Host: " + s.host(b) + "\r\n" +
		"User-Agent: " + userAgent(version) + "\r\n" +
		"Accept: */*\r\n" +
		"Connection: " + connection + "\r\n\r\n")
}

// host is the host that a probe names.
func (s *settings) host(b *pool.Backend) string {
	switch address := Address(b.Address(), s.Port); {
	case s.Host != "":
		return s.Host
	case strings.HasPrefix(address, "unix:"):
		return "localhost"
	default:
		return address
	}
}

// Address returns where a backend is probed, given its address and Config.Port.
func Address(backend string, port int) string {
	host, _, err := net.SplitHostPort(backend)
	if port == 0 || err != nil || strings.HasPrefix(backend, "unix:") {
		return backend
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

func userAgent(version string) string {
	if version == "" {
		return "lb-health"
	}
	return "lb-health/" + version
}
