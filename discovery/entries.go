package discovery

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/hashicorp/go-hclog"

	"lb/internal/dns"
)

const (
	// maxMembers bounds the members that one source can bring.
	maxMembers = 10_000
	// maxWarnings bounds the entries that are reported in one round, each with a line in the log.
	maxWarnings = 10
)

// warnings logs problems of single entries of a source, each once as long as it lasts. Such an entry is skipped;
// the others are used.
type warnings struct {
	log      hclog.Logger
	reported map[string]bool
	now      map[string]bool
}

// add records a problem of an entry in this round. The message distinguishes entries.
func (c *warnings) add(message string) {
	if c.now == nil {
		c.now = make(map[string]bool)
	}
	if len(c.now) >= maxWarnings {
		message = "more entries are skipped"
	}
	if !c.now[message] && !c.reported[message] {
		c.log.Warn(message)
	}
	c.now[message] = true
}

// end ends a round: problems that were not recorded in it are over.
func (c *warnings) end() { c.reported, c.now = c.now, nil }

// checkIP returns what is wrong with an address of a backend, "" if nothing is. The unspecified address, which
// block lists return, would be the balancer's own machine.
func checkIP(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "it has no IP address"
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("%s is not the address of a backend", a)
	}
	return ""
}

// addressOf returns the address of a backend that a source names, as required by validAddress.
func addressOf(host string, port int) (address, problem string) {
	if ip, err := netip.ParseAddr(host); err == nil {
		if problem := checkIP(ip.Unmap()); problem != "" {
			return "", problem
		}
		host = ip.Unmap().String()
	} else if !dns.ValidName(host) {
		return "", fmt.Sprintf("%q is not a host", host)
	}
	address = net.JoinHostPort(host, strconv.Itoa(port))
	if !validAddress(address) {
		return "", fmt.Sprintf("%q is not an address", address)
	}
	return address, ""
}
