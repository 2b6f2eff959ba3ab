package config

import (
	"fmt"
	"slices"
	"time"
)

// Mirror sends copies of a share of a route's requests to another pool.
type Mirror struct {
	Pos     Pos
	Pool    string  // the name of a pool in Config.Pools, not one of the route's proxy block
	Share   float64 // of the requests, from 0 to 1
	MaxBody int64   // bytes; requests with a larger body are not copied
	Limit   int     // copies in flight
	Timeout time.Duration
}

func defaultMirror() Mirror {
	return Mirror{Share: 0.1, MaxBody: 256 << 10, Limit: 256, Timeout: 30 * time.Second}
}

// readMirror reads a block of a route whose proxy block has been read.
func readMirror(b *block, t *Route) *Mirror {
	if b == nil {
		return nil
	}
	m := defaultMirror()
	m.Pos = b.pos(b.at)
	readPoolName(b, &m.Pool)
	b.require("pool", m.Pool, "app-next")
	b.share("share", &m.Share)
	b.size("max_body", &m.MaxBody, 0, 64<<20)
	b.number("limit", &m.Limit, 1, unlimited)
	b.duration("timeout", &m.Timeout, time.Millisecond)
	b.end()
	switch p := t.Proxy; {
	case b.everything:
	case p == nil:
		b.fail(b.at, "mirror needs a proxy block beside it", "Remove it: only requests that go to a pool are mirrored.")
	case m.Pool != "" && (m.Pool == p.Pool || slices.ContainsFunc(p.Split, func(s Share) bool { return s.Pool == m.Pool })):
		b.fail(b.place("pool"), fmt.Sprintf("pool %q gets the requests of this route already", m.Pool), "Write the name of another pool.")
	}
	return &m
}
