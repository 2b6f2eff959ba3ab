package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"lb/config"
)

// lookupLimit bounds all look-ups of names together.
const lookupLimit = 3 * time.Second

// A lookup returns the addresses of a name.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// checkDomains warns about names that an ACME server cannot validate since they do not lead to this machine, whose addresses are local.
func checkDomains(cfg *config.Config, look lookup, local []netip.Addr) config.Diagnostics {
	ctx, cancel := context.WithTimeout(context.Background(), lookupLimit)
	defer cancel()
	var running sync.WaitGroup
	var found []*config.Diagnostic
	for i := range cfg.Listeners {
		t := cfg.Listeners[i].TLS
		if t == nil || t.ACME == nil || slices.Contains(t.ACME.Challenges, "dns-01") {
			continue
		}
		for _, name := range t.ACME.Domains {
			if _, err := netip.ParseAddr(name); err == nil {
				continue
			}
			d := &config.Diagnostic{Severity: config.Warning, Pos: t.ACME.Pos}
			found = append(found, d)
			running.Go(func() { d.Summary, d.Detail = checkDomain(ctx, name, look, local) })
		}
	}
	running.Wait()
	var diags config.Diagnostics
	for _, d := range found {
		if d.Summary != "" {
			diags = append(diags, *d)
		}
	}
	return diags
}

// checkDomain returns what is wrong with a name and what to do about it, "" if nothing is.
func checkDomain(ctx context.Context, name string, look lookup, local []netip.Addr) (summary, remedy string) {
	addresses, err := look(ctx, name)
	var missing *net.DNSError
	if err != nil {
		if errors.As(err, &missing) && missing.IsNotFound {
			return fmt.Sprintf("no certificate can be obtained for %q: the name has no address in the DNS", name), "Add an A or AAAA record that leads to this machine, or correct domains."
		}
		return fmt.Sprintf("cannot look up %q, for which a certificate is to be obtained: %v", name, err), "Check the name server of this machine."
	}
	public := false
	for _, a := range local {
		public = public || a.IsGlobalUnicast() && !a.IsPrivate()
	}
	var texts []string
	for _, a := range addresses {
		if slices.Contains(local, a.Unmap()) {
			return "", ""
		}
		texts = append(texts, a.Unmap().String())
	}
	if !public { // it is behind a router, whose addresses are not known here
		return "", ""
	}
	return fmt.Sprintf("%q, for which a certificate is to be obtained, leads to %s, which is no address of this machine", name, strings.Join(texts, ", ")),
		"If nothing there forwards ports 80 and 443 to this machine, correct the record, or remove the name from domains."
}

// localAddresses returns the addresses of this machine.
func localAddresses() (list []netip.Addr) {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap().WithZone(""))
		}
	}
	return list
}
