package admin

import "lb/pool"

// Question is a request to explain. It is not sent anywhere.
type Question struct {
	Method string   // "": GET
	URL    string   // "http://host:port/path?query" or "https://…"
	Header []string // "Name: value"
	Client string   // the address that the request comes from; "": not known
}

// Explanation is what would happen to a request, in that order, and why. It ends where the request would end: without
// a site there is no route.
type Explanation struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	// Offline means that only a configuration is known, and no states of backends.
	Offline bool `json:"offline,omitempty"`

	Listeners []ExplainedListener `json:"listeners"`
	Client    string              `json:"client,omitempty"` // the address that rules apply to
	Host      string              `json:"host,omitempty"`
	Site      *ExplainedSite      `json:"site,omitempty"`
	Path      string              `json:"path,omitempty"` // decoded and cleaned, as rules and files are matched
	Routes    []ExplainedRoute    `json:"routes,omitempty"`
	Rules     []ExplainedRule     `json:"rules,omitempty"` // of the chosen route
	Files     *ExplainedFiles     `json:"files,omitempty"`
	Response  *ExplainedResponse  `json:"answer,omitempty"` // nil: a backend responds
	Pools     []ExplainedPool     `json:"pools,omitempty"`
	Notes     []string            `json:"notes,omitempty"` // further remarks
}

// ExplainedListener is a listener on which the request could arrive.
type ExplainedListener struct {
	Address       string `json:"address"`
	TLS           bool   `json:"tls"`
	HTTP3         bool   `json:"http3,omitempty"` // on the UDP port of the same number
	RedirectHTTPS bool   `json:"redirect_https,omitempty"`
	Why           string `json:"why,omitempty"` // if it is not by the URL's scheme and port

	Protocols []string `json:"protocols"` // that clients can use there, the preferred one first
	// Certificates are those that a client may get for the URL's host, the preferred one first; of several a client gets the first that it
	// supports. CertificateWhy says why these. None, and "", without TLS.
	Certificates   []Certificate `json:"certificates,omitempty"`
	CertificateWhy string        `json:"certificate_why,omitempty"`
}

// ExplainedSite is the site that serves the host.
type ExplainedSite struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// ExplainedRoute is a route whose path covers the request's; one at most is chosen.
type ExplainedRoute struct {
	Pattern string `json:"pattern"`
	Chosen  bool   `json:"chosen"`
	Why     string `json:"why"`
	Where   string `json:"where,omitempty"` // file, line and column in the configuration
}

// ExplainedRule is a requirement or an action of the route, by the name of its attribute or block.
type ExplainedRule struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// ExplainedFiles is how a static route looks for a file.
type ExplainedFiles struct {
	Root  string `json:"root"`
	Path  string `json:"path"` // below the root
	File  string `json:"file,omitempty"`
	Found string `json:"found"` // as text
}

// ExplainedResponse is a response of lb itself.
type ExplainedResponse struct {
	Status   int    `json:"status"`
	Reason   string `json:"reason"`
	Allow    string `json:"allow,omitempty"`
	Location string `json:"location,omitempty"`
}

// ExplainedPool is a pool that the request would go to.
type ExplainedPool struct {
	Protocol string `json:"protocol,omitempty"` // "h2" or "h2c" for backends that speak HTTP/2

	Share   float64 `json:"share"`  // of the route's requests; 1: all
	Target  string  `json:"target"` // the request target for the backend
	Host    string  `json:"host"`   // the Host field for the backend
	HashKey string  `json:"hash_key,omitempty"`
	KeyWhy  string  `json:"key_unknown,omitempty"` // why the key is not known
	pool.Prospects
	Retry string `json:"retry"`
	// Connection says how connections to the backends begin; "": as plain HTTP/1.1.
	Connection string `json:"connection,omitempty"`
}
