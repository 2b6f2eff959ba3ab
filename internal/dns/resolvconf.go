package dns

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// Config is the part of resolv.conf(5) that is used. Of its options, attempts is not: a failed lookup is repeated
// when the pace allows it. Neither is single-request: each query has its own socket.
type Config struct {
	Servers []string // "host:port"
	Search  []string // domains
	Ndots   int      // with fewer dots in a name, the search domains come first

	Timeout time.Duration // for one server's answer; 0: see Wait
	Rotate  bool          // each lookup begins with the next server
	TCP     bool          // use TCP only
}

// Wait returns how long one server may take to answer: the configured time, but no more than leaves time for the
// other servers within a lookup.
func (c *Config) Wait() time.Duration {
	share := LookupTimeout / time.Duration(max(len(c.Servers), 1))
	if c.Timeout > 0 {
		return min(c.Timeout, share)
	}
	return share
}

// readResolvConf reads the system's settings; without any, a server on this machine is used.
func readResolvConf(path string) Config {
	text, _ := os.ReadFile(path) // a file that cannot be read counts as empty, as for the system itself
	c := parseResolvConf(string(text))
	if c.Search == nil {
		host, _ := os.Hostname() // without one there is no domain to search
		_, domain, _ := strings.Cut(host, ".")
		c.Search = []string{domain}
	}
	return c
}

func parseResolvConf(text string) Config {
	c := Config{Ndots: 1}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(words[1]); err == nil && len(c.Servers) < 3 {
				c.Servers = append(c.Servers, net.JoinHostPort(ip.String(), "53"))
			}
		case "domain":
			c.Search = words[1:2]
		case "search":
			c.Search = words[1:]
		case "options":
			for _, option := range words[1:] {
				c.setOption(option)
			}
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []string{"127.0.0.1:53"}
	}
	return c
}

// setOption applies one option, with the bounds of the manual page.
func (c *Config) setOption(option string) {
	key, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	switch key {
	case "ndots":
		c.Ndots = min(max(n, 0), 15)
	case "timeout":
		if err == nil {
			c.Timeout = time.Duration(min(max(n, 1), 30)) * time.Second
		}
	case "rotate":
		c.Rotate = true
	case "use-vc":
		c.TCP = true
	}
}

// names returns the complete names to look up for a configured one, in order.
func (c Config) names(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var list []string
	asIs := strings.Count(name, ".") >= c.Ndots
	if asIs {
		list = append(list, name+".")
	}
	for _, domain := range c.Search {
		if domain = strings.Trim(domain, "."); domain != "" && len(name)+len(domain) < 253 {
			list = append(list, name+"."+domain+".")
		}
	}
	if !asIs {
		list = append(list, name+".")
	}
	return list
}
