package pool

import (
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// digestTime is how long lines that may come in crowds are held back, so that one can stand for many.
	digestTime = 500 * time.Millisecond
	// digestNamed is up to how many backends are named one by one.
	digestNamed = 3
)

// digest makes one line of the log out of those that hundreds of backends cause at once when they come, are
// looked at for the first time, or go. It belongs to the pool's goroutine.
type digest struct {
	held  []backendLine
	at    map[string]int // where in held a backend's last line is
	since time.Time      // when the first of held came
}

// backendLine is a change of a backend's state, to be logged.
type backendLine struct {
	log                             hclog.Logger
	level                           hclog.Level
	pool, backend, from, to, reason string
}

// comesInCrowds reports whether a line is one of many when a pool is large.
func (l *backendLine) comesInCrowds() bool {
	return l.from == "absent" || l.from == "unknown" || l.to == "absent"
}

// add takes a line, and writes it at once, behind those that are held, unless more of its kind may follow.
func (d *digest) add(l backendLine, now time.Time) {
	if !l.comesInCrowds() {
		d.flush()
		l.write()
		return
	}
	// The first result of a backend that has just come says both.
	if i, ok := d.at[l.backend]; ok && d.held[i].from == "absent" && l.from == d.held[i].to {
		l.from = "absent"
		d.held[i] = l
		return
	}
	if len(d.held) == 0 {
		d.since, d.at = now, map[string]int{}
	}
	d.at[l.backend] = len(d.held)
	d.held = append(d.held, l)
}

// wait writes what has been held for long enough, and returns how long the rest may be held.
func (d *digest) wait(now time.Time) time.Duration {
	if len(d.held) == 0 {
		return farAway
	}
	if left := digestTime - now.Sub(d.since); left > 0 {
		return left
	}
	d.flush()
	return farAway
}

// flush writes all that is held, each kind of change in one line if many backends had it.
func (d *digest) flush() {
	type kind struct {
		level            hclog.Level
		from, to, reason string
	}
	var order []kind
	groups := map[kind][]backendLine{}
	for _, l := range d.held {
		k := kind{l.level, l.from, l.to, l.reason}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], l)
	}
	d.held, d.at = nil, nil
	for _, k := range order {
		lines := groups[k]
		if len(lines) <= digestNamed {
			for _, l := range lines {
				l.write()
			}
			continue
		}
		var named []string
		for _, l := range lines[:digestNamed] {
			named = append(named, l.backend)
		}
		l := lines[0]
		l.log.Log(l.level, "backends changed", "pool", l.pool, "count", len(lines), "backends", strings.Join(named, ", ")+", …",
			"from", l.from, "to", l.to, "reason", l.reason)
	}
}

func (l *backendLine) write() {
	l.log.Log(l.level, "backend changed", "pool", l.pool, "backend", l.backend, "from", l.from, "to", l.to, "reason", l.reason)
}
