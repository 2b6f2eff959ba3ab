package upgrade

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Wanted is an address that a listener is configured for.
type Wanted struct {
	Address  string // "host:port" or "unix:" with a path
	IPv6Only bool
}

func has(wanted []Wanted, address string) bool {
	return slices.ContainsFunc(wanted, func(w Wanted) bool { return w.Address == address })
}

// Activated returns the sockets that the service manager opened, by the configured
// address that each serves. One that no listener wants is an error: its clients would hang. So is one that fits by its
// address, but not by check.
func Activated(wanted []Wanted, check func(net.Listener, Wanted) error) (map[string]net.Listener, error) {
	sockets, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("cannot take over the sockets of the service manager: %w", err)
	}
	activated := map[string]net.Listener{}
	for _, socket := range sockets {
		if socket == nil {
			continue
		}
		address, err := matching(socket, wanted, check)
		if err != nil {
			return nil, err
		}
		activated[address] = socket
	}
	return activated, nil
}

// matching returns the configured address that a socket is bound to.
func matching(socket net.Listener, wanted []Wanted, check func(net.Listener, Wanted) error) (string, error) {
	bound := socket.Addr()
	var misfit error
	for _, w := range wanted {
		if path, ok := strings.CutPrefix(w.Address, "unix:"); ok {
			if bound.Network() == "unix" && bound.String() == path {
				return w.Address, nil
			}
			continue
		}
		tcp, ok := bound.(*net.TCPAddr)
		want, err := net.ResolveTCPAddr("tcp", w.Address)
		if !ok || err != nil || tcp.Port != want.Port {
			continue
		}
		anyHost := want.IP == nil || want.IP.IsUnspecified()
		if !want.IP.Equal(tcp.IP) && !(anyHost && tcp.IP.IsUnspecified()) {
			continue
		}
		if err := check(socket, w); err != nil {
			misfit = fmt.Errorf("%w: see BindIPv6Only and ListenStream in systemd.socket(5)", err)
			continue
		}
		return w.Address, nil
	}
	if misfit != nil {
		return "", misfit
	}
	return "", fmt.Errorf("the service manager passed a socket for %s, which no listen block has", bound)
}
