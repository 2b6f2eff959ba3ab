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
	// maxComplaints bounds the entries that are complained of in one round, each with a line in the log.
	maxComplaints = 10
)

// complaints logs what is wrong with single entries of a source, each once for as long as it stays wrong.
// Such an entry is skipped; the others hold.
type complaints struct {
	log  hclog.Logger
	told map[string]bool
	now  map[string]bool
}

// add notes what is wrong with an entry in this round. The message tells entries apart.
func (c *complaints) add(message string) {
	if c.now == nil {
		c.now = make(map[string]bool)
	}
	if len(c.now) >= maxComplaints {
		message = "more entries are skipped"
	}
	if !c.now[message] && !c.told[message] {
		c.log.Warn(message)
	}
	c.now[message] = true
}

// end ends a round: what was not noted in it is well again.
func (c *complaints) end() { c.told, c.now = c.now, nil }

// checkIP tells what is wrong with an address as that of a backend, "" if nothing is. The unspecified
// address, with which block lists answer, would lead to the balancer's own machine.
func checkIP(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "it has no IP address"
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("%s is not the address of a backend", a)
	}
	return ""
}

// addressOf returns the address of a backend that a source names, as validAddress wants it.
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
