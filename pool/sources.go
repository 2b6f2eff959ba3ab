package pool

import (
	"iter"
	"slices"
	"strings"
)

// setSources applies the sources of new options. A source that stays keeps its members. The caller holds p.mu.
func (p *Pool) setSources(o Options) {
	sources := []source{{name: SourceConfig, members: o.Members}}
	starting := false
	for _, name := range o.Sources {
		s := source{name: name, awaited: true}
		i := slices.IndexFunc(p.sources, func(old source) bool { return old.name == name })
		if i >= 0 {
			s = p.sources[i]
		}
		if i < 0 || slices.Contains(o.Restarted, name) {
			s.awaited, starting = true, true
		}
		sources = append(sources, s)
	}
	p.sources = sources
	p.keep(starting)
}

// keep keeps members that no source has any more, until all awaited sources have published for the first time. If a
// reload changes the sources, or leaves none with members, the pool must not be empty until the new source has found
// its members, or while it fails.
func (p *Pool) keep(starting bool) {
	had := len(p.kept) > 0
	if !p.awaits() {
		p.kept = nil
		return
	}
	if starting || p.empty() {
		p.kept = make([]Member, len(p.members)) // includes those kept so far
		for i, b := range p.members {
			s := b.state.Load()
			p.kept[i] = Member{Address: b.address, Weight: s.configured, MaxConns: s.maxConns, Backup: s.backup}
		}
	}
	for _, s := range p.sources {
		p.release(s.members)
	}
	if n := len(p.kept); n > 0 && !had {
		log, name, awaited := p.options.Log, p.name, p.awaited()
		p.outbox.add(func() {
			log.Info("backends that the configuration no longer has stay until the new source has found its own",
				"pool", name, "backends", n, "source", awaited)
		})
	}
}

// dropKept drops kept members that a source has published, and all others if it was the last awaited source. The caller
// holds p.mu.
func (p *Pool) dropKept(published []Member) {
	if !p.awaits() {
		p.kept = nil
	}
	p.release(published)
}

// release drops kept members that a source has.
func (p *Pool) release(members []Member) {
	if len(p.kept) == 0 {
		return
	}
	named := make(map[string]bool, len(members))
	for _, m := range members {
		named[m.Address] = true
	}
	p.kept = slices.DeleteFunc(p.kept, func(m Member) bool { return named[m.Address] })
}

func (p *Pool) awaits() bool {
	return slices.ContainsFunc(p.sources, func(s source) bool { return s.awaited })
}

// awaited returns the names of the sources that have not published yet.
func (p *Pool) awaited() string {
	var names []string
	for _, s := range p.sources {
		if s.awaited {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ", ")
}

// empty reports whether no source has a member.
func (p *Pool) empty() bool {
	return !slices.ContainsFunc(p.sources, func(s source) bool { return len(s.members) > 0 })
}

// wanted returns the members of all sources in order of precedence, with possible duplicates.
func (p *Pool) wanted() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for _, s := range p.sources {
			for _, m := range s.members {
				if !yield(m) {
					return
				}
			}
		}
		for _, m := range p.kept {
			if !yield(m) {
				return
			}
		}
	}
}
