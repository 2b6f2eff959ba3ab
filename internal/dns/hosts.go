package dns

import (
	"net/netip"
	"os"
	"strings"
)

// lookupHosts returns the addresses of a name in a file in the format of hosts(5), in the file's order. A file that
// cannot be read has none, as for the system itself.
func lookupHosts(path, name string) []netip.Addr {
	text, _ := os.ReadFile(path)
	return parseHosts(string(text), name)
}

func parseHosts(text, name string) (addresses []netip.Addr) {
	name = strings.TrimSuffix(name, ".")
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		for _, word := range words[1:] {
			if !strings.EqualFold(strings.TrimSuffix(word, "."), name) {
				continue
			}
			if ip, err := netip.ParseAddr(words[0]); err == nil {
				addresses = append(addresses, ip.Unmap())
			}
			break
		}
	}
	return addresses
}
