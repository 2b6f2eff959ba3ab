// Package discovery watches the places that tell which backends a pool has: DNS names, files, a Docker
// engine, a Consul catalogue.
//
// A discoverer never fails at the start and never gives up. What it knew last holds while its source
// is silent or broken: a DNS server that dies must not empty a pool.
package discovery

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/go-hclog"

	"lb/pool"
)

// Discoverer follows one source of members.
type Discoverer interface {
	// Run calls update with the whole set, sorted by address, when it is first known and then at each
	// change of it, until ctx ends. The slice belongs to update. Run returns when all it started has ended.
	Run(ctx context.Context, update func([]pool.Member))
}

// publisher passes on the sets that differ from the one before.
type publisher struct {
	update    func([]pool.Member)
	log       hclog.Logger // nil: no log
	full      bool         // the source has more than maxMembers, which was logged
	last      []pool.Member
	published bool
}

// set publishes members, which it sorts, and tells whether they were news. Of more than maxMembers it
// takes the first.
func (p *publisher) set(members []pool.Member) bool {
	slices.SortFunc(members, func(a, b pool.Member) int { return cmp.Compare(a.Address, b.Address) })
	full := len(members) > maxMembers
	if full && !p.full {
		orNull(p.log).Warn("too many backends from one source; the rest are ignored", "found", len(members), "taken", maxMembers)
	}
	if p.full = full; full {
		members = members[:maxMembers]
	}
	if p.published && slices.Equal(members, p.last) {
		return false
	}
	p.published = true
	p.last = members
	p.update(slices.Clone(members))
	return true
}

// fate says what holds while the source is in trouble.
func (p *publisher) fate() string {
	if len(p.last) == 0 {
		return "no backends from it until then"
	}
	return "keeping the last known set"
}

// condition logs a trouble when it begins, when it becomes another, and when it ends, rather than at
// each attempt that meets it.
type condition struct {
	log     hclog.Logger
	current string // empty: all is well
}

// begin notes that there is trouble.
func (c *condition) begin(message string, args ...any) {
	if message == c.current {
		return
	}
	c.current = message
	c.log.Warn(message, args...)
}

// end notes that all is well.
func (c *condition) end(message string, args ...any) {
	if c.current == "" {
		return
	}
	c.current = ""
	c.log.Info(message, args...)
}

// orNull makes a nil logger usable.
func orNull(log hclog.Logger) hclog.Logger {
	if log == nil {
		return hclog.NewNullLogger()
	}
	return log
}
