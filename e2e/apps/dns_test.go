//go:build e2e

package apps

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dnsServer is dnsmasq with records for the names under test.
type dnsServer struct {
	*process
	address string
	dir     string
}

// startDNS starts dnsmasq on a port of its own, or again on that of a server that has ended. hosts is in the form of
// /etc/hosts; each of records is an option.
func startDNS(t *testing.T, dir, address, hosts string, records ...string) *dnsServer {
	t.Helper()
	dnsmasq := need(t, "dnsmasq")
	s := &dnsServer{address: address, dir: dir}
	write(t, dir, "hosts", hosts)
	write(t, dir, "empty", "")
	args := []string{
		"--keep-in-foreground", "--log-facility=-", "--user=", "--pid-file=", "--conf-file=" + dir + "/empty",
		"--no-resolv", "--no-hosts", "--addn-hosts=" + dir + "/hosts", "--local=/test/",
		"--bind-interfaces", "--listen-address=127.0.0.1", "--port=" + port(address),
	}
	s.process = launch(t, nil, dnsmasq, append(args, records...)...)
	eventually(t, "dnsmasq listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return s
}

// setHosts changes the addresses as an administrator would.
func (s *dnsServer) setHosts(t *testing.T, hosts string) {
	t.Helper()
	write(t, s.dir, "hosts", hosts)
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// pool returns the backends of the pool, in order, as the administrator sees them.
func (b *balancer) pool(t *testing.T) string {
	t.Helper()
	_, out := command(t, "status", "-admin", b.admin)
	var list []string
	for line := range strings.Lines(out) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "127.") {
				list = append(list, word)
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// awaitPool waits until the pool has exactly these backends.
func (b *balancer) awaitPool(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	eventually(t, "the pool is "+strings.Join(want, " "), func() bool { return b.pool(t) == strings.Join(want, " ") })
}

// keeps waits until the log reports the error, and checks that the pool does not change.
func (b *balancer) keeps(t *testing.T, trouble string, want ...string) {
	t.Helper()
	eventually(t, "the log says "+trouble, func() bool { return strings.Contains(b.out.String(), trouble) })
	slices.Sort(want)
	if got := b.pool(t); got != strings.Join(want, " ") {
		t.Errorf("the pool is %s, want %s", got, strings.Join(want, " "))
	}
}

// TestAddressRecords: the pool has the addresses of a name. It keeps them while the name server is down, and follows it
// again after its restart; clients notice nothing.
func TestAddressRecords(t *testing.T) {
	addresses, dir := freePorts(t, 2), t.TempDir()
	backends := make([]string, 3)
	for i := range backends {
		backends[i] = fmt.Sprintf("127.0.0.%d:%s", i+2, port(addresses[0]))
		apps["clock"](t, backends[i])
	}
	dns := startDNS(t, dir, addresses[1], "127.0.0.2 app.test\n127.0.0.3 app.test\n")
	lb := startLB(t, t.TempDir(), proxyConfig(fmt.Sprintf(`  discover "dns" {
    name     = "app.test"
    port     = %s
    interval = "200ms"
    resolver = %q
  }
`, port(addresses[0]), dns.address)))
	lb.awaitPool(t, backends[0], backends[1])
	load := startLoad(lb.url+"/api/time", 4, 200)
	load.until(t, 50)
	dns.setHosts(t, "127.0.0.3 app.test\n127.0.0.4 app.test\n")
	lb.awaitPool(t, backends[1], backends[2])
	dns.setHosts(t, "127.0.0.3 other.test\n")
	lb.keeps(t, "no such host", backends[1], backends[2])
	dns.kill()
	lb.keeps(t, "the resolver refuses connections", backends[1], backends[2])
	startDNS(t, dir, dns.address, "127.0.0.2 app.test\n")
	lb.awaitPool(t, backends[0])
	if served, failed, first := load.stop(); failed > 0 || served < 50 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
}

// TestTimeToLive: records with a time to live above the interval are not queried again before it ends.
func TestTimeToLive(t *testing.T) {
	addresses, dir := freePorts(t, 2), t.TempDir()
	apps["clock"](t, addresses[0])
	dns := startDNS(t, dir, addresses[1], "127.0.0.1 app.test\n", "--local-ttl=3", "--log-queries")
	lb := startLB(t, t.TempDir(), proxyConfig(fmt.Sprintf(`  discover "dns" {
    name     = "app.test"
    port     = %s
    interval = "200ms"
    resolver = %q
  }
`, port(addresses[0]), dns.address)))
	lb.awaitPool(t, addresses[0])
	asked := func() int { return strings.Count(dns.out.String(), "query[A] app.test") }
	first := time.Now()
	eventually(t, "a second query", func() bool { return asked() > 1 })
	if took := time.Since(first); took < 2*time.Second { // the first was a little earlier
		t.Errorf("asked again after %v, for an answer with a time to live of 3 s:\n%s", took, dns.out.String())
	}
}

// TestServiceRecords is TestAddressRecords with SRV records: ports, weights and backups come from them.
func TestServiceRecords(t *testing.T) {
	addresses, dir := freePorts(t, 4), t.TempDir()
	for _, a := range addresses[:3] {
		apps["clock"](t, a)
	}
	record := func(i, priority, weight int) string {
		return fmt.Sprintf("--srv-host=_http._tcp.app.test,h%d.test,%s,%d,%d", i, port(addresses[i]), priority, weight)
	}
	const hosts = "127.0.0.1 h0.test\n127.0.0.1 h1.test\n127.0.0.1 h2.test\n"
	dns := startDNS(t, dir, addresses[3], hosts, record(0, 10, 1), record(1, 10, 3), record(2, 20, 1))
	lb := startLB(t, t.TempDir(), proxyConfig(fmt.Sprintf(`  discover "dns" {
    name     = "_http._tcp.app.test"
    type     = "SRV"
    interval = "200ms"
    resolver = %q
  }
`, dns.address)))
	lb.awaitPool(t, addresses[:3]...)
	responses := map[string]int{}
	for range 40 {
		_, body := get(lb.url + "/api/time")
		for _, a := range addresses[:3] {
			if strings.Contains(body, a) {
				responses[a]++
			}
		}
	}
	if responses[addresses[0]] != 10 || responses[addresses[1]] != 30 {
		t.Errorf("responses %v, want weights 1 and 3, and none of the backup", responses)
	}

	load := startLoad(lb.url+"/api/time", 4, 200)
	load.until(t, 50)
	dns.kill()
	lb.keeps(t, "the resolver refuses connections", addresses[:3]...)
	dns = startDNS(t, dir, dns.address, hosts, record(1, 10, 1), record(2, 10, 1))
	lb.awaitPool(t, addresses[1], addresses[2])
	load.until(t, load.served.Load()+50)
	dns.setHosts(t, "127.0.0.1 h2.test\n") // a target without an address
	lb.awaitPool(t, addresses[2])
	dns.setHosts(t, "127.0.0.1 h9.test\n")
	lb.keeps(t, "no target has an address", addresses[2])
	dns.kill()
	startDNS(t, dir, dns.address, hosts)
	lb.keeps(t, "no such record", addresses[2])
	if served, failed, first := load.stop(); failed > 0 || served < 100 {
		t.Errorf("%d of %d requests failed: %s", failed, served, first)
	}
}

// TestNameServerStartsLate: lb starts without its name server.
func TestNameServerStartsLate(t *testing.T) {
	need(t, "dnsmasq")
	addresses, dir := freePorts(t, 2), t.TempDir()
	apps["clock"](t, addresses[0])
	lb := startLB(t, t.TempDir(), proxyConfig(fmt.Sprintf(`  discover "dns" {
    name     = "_http._tcp.app.test"
    type     = "SRV"
    interval = "200ms"
    resolver = %q
  }
`, addresses[1])))
	if status, _ := get(lb.url + "/api/time"); status != 503 {
		t.Errorf("with no backend: %d", status)
	}
	startDNS(t, dir, addresses[1], "127.0.0.1 h.test\n", fmt.Sprintf("--srv-host=_http._tcp.app.test,h.test,%s,0,0", port(addresses[0])))
	eventually(t, "a response", func() bool { status, _ := get(lb.url + "/api/time"); return status == 200 })
}
