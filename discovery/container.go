package discovery

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"

	"lb/pool"
)

// container is the part of an entry of GET /containers/json that is used.
type container struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Status string // "Up 2 minutes (healthy)"
	Ports  []struct {
		PrivatePort int
		Type        string
	}
	NetworkSettings struct {
		Networks map[string]*endpoint
	}
}

// endpoint is a container's address in a network.
type endpoint struct {
	IPAddress         string
	GlobalIPv6Address string
}

// name returns the container's name for messages.
func (c *container) name() string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID
}

// serves reports whether the container runs and its health check, if it has one, passes. The list has that only as
// text.
func (c *container) serves() bool {
	return c.State == "running" && !strings.Contains(c.Status, "(unhealthy)") && !strings.Contains(c.Status, "(health: starting)")
}

// members returns a member for each container that serves and can be reached.
func (d *Docker) members(containers []container) []pool.Member {
	local := d.options.Local()
	members := []pool.Member{}
	seen := make(map[string]bool)
	for i := range containers {
		c := &containers[i]
		if !c.serves() {
			continue
		}
		address, err := c.address(d.options.Port, local)
		if err != nil {
			d.skipped.add(fmt.Sprintf("container %q is skipped: %v", c.name(), err))
			continue
		}
		if !seen[address] {
			seen[address] = true
			members = append(members, pool.Member{Address: address})
		}
	}
	d.skipped.end()
	return members
}

// address returns the address at which the container is reached.
func (c *container) address(port int, local []netip.Prefix) (string, error) {
	host, err := c.host(local)
	if err != nil {
		return "", err
	}
	if port == 0 {
		if port, err = c.exposed(); err != nil {
			return "", err
		}
	}
	address, problem := addressOf(host, port)
	if problem != "" {
		return "", errors.New(problem)
	}
	return address, nil
}

// exposed returns the only TCP port that the container exposes.
func (c *container) exposed() (int, error) {
	port := 0
	for _, p := range c.Ports {
		if p.Type != "tcp" || p.PrivatePort == port {
			continue
		}
		if port != 0 {
			return 0, errors.New("it exposes several ports; write port = N in the discover block")
		}
		port = p.PrivatePort
	}
	if port == 0 {
		return 0, errors.New("it exposes no TCP port; write port = N in the discover block")
	}
	return port, nil
}

// host returns the container's address in the first network, by name, in which this machine or container has an
// address, or else in the first in which the container has one. IPv4 comes before IPv6.
func (c *container) host(local []netip.Prefix) (string, error) {
	var first netip.Addr
	for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
		e := c.NetworkSettings.Networks[name]
		if e == nil {
			continue
		}
		for _, text := range []string{e.IPAddress, e.GlobalIPv6Address} {
			ip, err := netip.ParseAddr(text)
			if text == "" || err == nil && checkIP(ip) != "" {
				continue
			}
			if err != nil {
				return "", fmt.Errorf("its address %q in network %q cannot be read", text, name)
			}
			if slices.ContainsFunc(local, func(p netip.Prefix) bool { return p.Contains(ip) }) {
				return ip.String(), nil
			}
			if !first.IsValid() {
				first = ip
			}
		}
	}
	if !first.IsValid() {
		return "", errors.New("it has no address of its own; connect it to a network, or list it as a backend if it is in the host's network")
	}
	return first.String(), nil
}

// localNetworks returns the networks in which this machine, or the container it is, has an address.
func localNetworks() []netip.Prefix {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil // the first network by name is then as good as any
	}
	var networks []netip.Prefix
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.IsSingleIP() {
			networks = append(networks, p.Masked())
		}
	}
	return networks
}
