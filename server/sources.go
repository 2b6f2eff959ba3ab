package server

import (
	"context"
	"fmt"

	"lb/config"
	"lb/discovery"
	"lb/pool"
)

// source is a discover block with its name in the pool.
type source struct {
	name   string
	config config.Discover
}

// discoveryRun is a running source.
type discoveryRun struct {
	config config.Discover
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing more will be published
}

// sources names the blocks of a pool. The name identifies a source over reloads: if it stays, the members of the
// source stay in the pool until it publishes again, changed or not. So the name says where the source looks and not
// how, and a second block with the same place gets a number.
func sources(blocks []config.Discover) []source {
	list := make([]source, len(blocks))
	seen := map[string]int{}
	for i, c := range blocks {
		name := sourceName(c)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s#%d", name, seen[name])
		}
		list[i] = source{name, c}
	}
	return list
}

func sourceName(c config.Discover) string {
	switch {
	case c.File != nil:
		return "file:" + c.File.Path
	case c.Docker != nil:
		return "docker:" + c.Docker.Label
	case c.Consul != nil:
		return "consul:" + c.Consul.Service
	}
	return "dns:" + c.DNS.Name
}

func sameDiscover(a, b config.Discover) bool {
	switch {
	case a.File != nil && b.File != nil:
		return *a.File == *b.File
	case a.Docker != nil && b.Docker != nil:
		return *a.Docker == *b.Docker
	case a.Consul != nil && b.Consul != nil:
		return *a.Consul == *b.Consul
	case a.DNS != nil && b.DNS != nil:
		return *a.DNS == *b.DNS
	}
	return false
}

// endDiscovery ends the sources that are not wanted, or not with these settings, and returns when they have ended, so
// that none publishes after the pool has dropped it, or at the same time as its successor. It returns the names of
// those with other settings, which must be started again.
func (run *poolRun) endDiscovery(wanted []source) (changed []string) {
	stays := map[string]bool{}
	run.mu.Lock()
	for _, w := range wanted {
		d := run.discovery[w.name]
		stays[w.name] = d != nil && sameDiscover(w.config, d.config)
	}
	var ending []*discoveryRun
	for name, d := range run.discovery {
		if same, known := stays[name]; !same {
			if known {
				changed = append(changed, name)
			}
			d.cancel()
			ending = append(ending, d)
			delete(run.discovery, name)
		}
	}
	run.mu.Unlock()
	for _, d := range ending {
		<-d.done
	}
	return changed
}

// startDiscovery starts the sources that are new.
func (run *poolRun) startDiscovery(s *Server, wanted []source) {
	run.mu.Lock()
	defer run.mu.Unlock()
	for _, w := range wanted {
		if run.discovery[w.name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(s.background)
		d := &discoveryRun{config: w.config, cancel: cancel, done: make(chan struct{})}
		run.discovery[w.name] = d
		follow := s.discoverer(w.config)
		s.goRun(func() {
			defer close(d.done)
			follow.Run(ctx, func(members []pool.Member) { run.pool.SetMembers(w.name, members) })
		})
	}
}

func (s *Server) discoverer(c config.Discover) discovery.Discoverer {
	log := s.log.Named("discovery")
	switch {
	case c.File != nil:
		return discovery.NewFile(discovery.FileOptions{Path: c.File.Path, Log: log})
	case c.Docker != nil:
		return discovery.NewDocker(discovery.DockerOptions{
			Label: c.Docker.Label, Port: c.Docker.Port, Socket: c.Docker.Socket, Log: log,
		})
	case c.Consul != nil:
		return discovery.NewConsul(discovery.ConsulOptions{
			Service: c.Consul.Service, Address: c.Consul.Address, Tag: c.Consul.Tag, Token: string(c.Consul.Token), Log: log,
		})
	}
	o := discovery.DNSOptions{
		Name: c.DNS.Name, Port: c.DNS.Port, Interval: c.DNS.Interval, Resolver: c.DNS.Resolver, Log: log,
	}
	if c.DNS.Type == "SRV" {
		return discovery.NewSRV(o)
	}
	return discovery.NewDNS(o)
}
