// Package discovery follows the sources that say which backends a pool has: DNS names, files, a Docker engine, a
// Consul catalogue.
//
// A discoverer never fails at the start and never gives up. While its source is silent or broken, the last known set
// stays: a DNS server that fails must not empty a pool.
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
	// Run calls update with the whole set, sorted by address, when it is first known and at each change, until ctx
	// ends. The slice belongs to update. Run returns when everything that it started has ended.
	Run(ctx context.Context, update func([]pool.Member))
}

// publisher passes on sets that differ from the one before.
type publisher struct {
	update    func([]pool.Member)
	log       hclog.Logger // nil: no log
	full      bool         // the source has more than maxMembers, which has been logged
	last      []pool.Member
	published bool
}

// set sorts and publishes members, and reports whether they have changed. Of more than maxMembers it takes the first.
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

// inUse says which set is in use while the source has a problem.
func (p *publisher) inUse() string {
	if len(p.last) == 0 {
		return "no backends from it until then"
	}
	return "keeping the last known set"
}

// condition logs a problem when it begins, changes or ends, rather than at each attempt.
type condition struct {
	log     hclog.Logger
	current string // empty: no problem
}

// begin records a problem.
func (c *condition) begin(message string, args ...any) {
	if message == c.current {
		return
	}
	c.current = message
	c.log.Warn(message, args...)
}

// end records that there is no problem any more.
func (c *condition) end(message string, args ...any) {
	if c.current == "" {
		return
	}
	c.current = ""
	c.log.Info(message, args...)
}

// orNull returns a logger that discards if log is nil.
func orNull(log hclog.Logger) hclog.Logger {
	if log == nil {
		return hclog.NewNullLogger()
	}
	return log
}
