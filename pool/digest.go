package pool

import (
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// digestTime is how long lines that may be numerous are delayed, so that they can be combined.
	digestTime = 500 * time.Millisecond
	// digestNamed is the number up to which backends are named one by one.
	digestNamed = 3
)

// digest combines the log lines of hundreds of backends that join, get their first check or leave at once. Only the
// pool's goroutine uses it.
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

// isFrequent reports whether a line is one of many in a large pool.
func (l *backendLine) isFrequent() bool {
	return l.from == "absent" || l.from == "unknown" || l.to == "absent"
}

// add takes a line, and writes it at once, after the delayed ones, unless more of its kind may follow.
func (d *digest) add(l backendLine, now time.Time) {
	if !l.isFrequent() {
		d.flush()
		l.write()
		return
	}
	// The first result of a backend that has just joined covers both.
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

// wait writes what has been delayed long enough, and returns how long the rest may be delayed.
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

// flush writes all delayed lines, each kind of change in one line if many backends had it.
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
