package discovery

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// resolvConf is what counts here of resolv.conf(5).
type resolvConf struct {
	servers []string // "host:port"
	search  []string // domains
	ndots   int      // with fewer dots in a name, the search domains come first
}

// readResolvConf reads the system's settings; where there are none, a server on this machine is asked.
func readResolvConf(path string) resolvConf {
	text, _ := os.ReadFile(path) // a file that cannot be read counts as empty, as for the system itself
	return parseResolvConf(string(text))
}

func parseResolvConf(text string) resolvConf {
	c := resolvConf{ndots: 1}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if ip, err := netip.ParseAddr(words[1]); err == nil && len(c.servers) < 3 {
				c.servers = append(c.servers, net.JoinHostPort(ip.String(), "53"))
			}
		case "domain":
			c.search = words[1:2]
		case "search":
			c.search = words[1:]
		case "options":
			for _, option := range words[1:] {
				if n, ok := strings.CutPrefix(option, "ndots:"); ok {
					c.ndots, _ = strconv.Atoi(n)
					c.ndots = min(max(c.ndots, 0), 15)
				}
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []string{"127.0.0.1:53"}
	}
	return c
}

// names returns the names to ask for, in order, for one that was written down.
func (c resolvConf) names(name string) []string {
	if strings.HasSuffix(name, ".") {
		return []string{name}
	}
	var list []string
	asIs := strings.Count(name, ".") >= c.ndots
	if asIs {
		list = append(list, name+".")
	}
	for _, domain := range c.search {
		if domain = strings.Trim(domain, "."); domain != "" && len(name)+len(domain) < 253 {
			list = append(list, name+"."+domain+".")
		}
	}
	if !asIs {
		list = append(list, name+".")
	}
	return list
}
