package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// parsePrefix reads a network, or a single address as a network of one.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p, err
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("not an address: %q", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// listenAddress checks where to listen: ":8080", "127.0.0.1:80", "[::]:80", "unix:/run/lb.sock".
// Port 0 lets the system choose.
func listenAddress(s string) (problem, remedy string) { return checkAddress(s, true) }

// peerAddress checks where to connect to: "127.0.0.1:5000", "app.internal:80", "unix:/run/app.sock".
func peerAddress(s string) (problem, remedy string) { return checkAddress(s, false) }

func checkAddress(s string, listen bool) (problem, remedy string) {
	example, port := "127.0.0.1:5000", "80"
	if listen {
		example, port = ":8080", "8080"
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return checkSocket(path)
	}
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		host = host[strings.LastIndexByte(host, '@')+1:]
		return fmt.Sprintf("%q has a scheme", s), schemeRemedy(scheme, host, port, listen)
	}
	if s == "" {
		return "is empty", fmt.Sprintf("Write an address with a port: %q", example)
	}
	host, portText, err := net.SplitHostPort(s)
	if err != nil {
		return addressWithoutPort(s, port, listen)
	}
	lowest := 1
	if listen {
		lowest = 0
	}
	if n, err := strconv.ParseUint(portText, 10, 16); err != nil || int(n) < lowest || portText[0] == '+' {
		return fmt.Sprintf("%q has no valid port: %q", s, portText),
			fmt.Sprintf("Write a port from %d to 65535 after the last colon: %q", lowest, example)
	}
	if host == "" && !listen {
		return fmt.Sprintf("%q has no host", s), fmt.Sprintf("Add the host: %q", "127.0.0.1:"+portText)
	}
	if host != "" && !validHost(host) {
		return fmt.Sprintf("%q has no valid host: %q", s, host), fmt.Sprintf("Write an IP address or a name: %q", example)
	}
	return "", ""
}

func schemeRemedy(scheme, host, port string, listen bool) string {
	if _, _, err := net.SplitHostPort(host); err != nil && host != "" {
		if scheme == "https" {
			port = "443"
		}
		host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	remedy := fmt.Sprintf("Write only the host and the port: %q", host)
	if scheme == "https" && !listen {
		remedy += ", and add a tls block to the pool"
	}
	if scheme == "https" && listen {
		remedy += ", and add a tls block with a certificate"
	}
	return remedy
}

func checkSocket(path string) (problem, remedy string) {
	if !filepath.IsAbs(path) {
		return fmt.Sprintf("has a relative path: %q", path), `Write an absolute path: "unix:/run/lb.sock"`
	}
	if len(path) > 107 { // the size of sun_path, less its NUL
		return "names a socket with a path of more than 107 bytes", `Write a shorter path: "unix:/run/lb.sock"`
	}
	return noNUL(path)
}

// addressWithoutPort finds out what an address without a valid port was meant to be.
func addressWithoutPort(s, port string, listen bool) (problem, remedy string) {
	if _, err := strconv.ParseUint(s, 10, 16); err == nil {
		if listen {
			return fmt.Sprintf("%q has no colon before the port", s), fmt.Sprintf("Write: %q", ":"+s)
		}
		return fmt.Sprintf("%q has no host", s), fmt.Sprintf("Add the host: %q", "127.0.0.1:"+s)
	}
	if strings.HasPrefix(s, "/") {
		return fmt.Sprintf("%q has no port", s), fmt.Sprintf("For a socket write: %q", "unix:"+s)
	}
	bare := strings.Trim(s, "[]")
	if _, err := netip.ParseAddr(bare); err != nil && !validName(bare) {
		return fmt.Sprintf("%q is not an address", s), `Write a host and a port: "127.0.0.1:5000", "[::1]:5000", or a socket: "unix:/run/app.sock"`
	}
	if i := strings.LastIndexByte(s, ':'); i > 0 && isDigits(s[i+1:]) {
		if _, err := netip.ParseAddr(s[:i]); err == nil {
			return fmt.Sprintf("%q is an IPv6 address without brackets", s), fmt.Sprintf("Write: %q", net.JoinHostPort(s[:i], s[i+1:]))
		}
	}
	return fmt.Sprintf("%q has no port", s), fmt.Sprintf("Add the port: %q", net.JoinHostPort(bare, port))
}

func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return validName(s)
}

// validName reports whether s can be a host name: labels of letters, digits,
// hyphens and, as container names have them, underscores.
func validName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// loopback reports whether only this machine reaches the address.
func loopback(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
