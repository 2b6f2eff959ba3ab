package limit

import (
	"bytes"
	"context"
	"net/http"

	"lb/filter"
	"lb/internal/gcra"
	"lb/internal/lease"
	"lb/telemetry"
)

// Shared is a Rate that a fleet shares by a Redis. It decides with tokens leased there; a request without one waits for Redis in a goroutine,
// 50 ms at most.
type Shared struct {
	*Rate
	limit     *lease.Limit
	closed    bool
	unchecked *telemetry.Counter
}

// NewShared returns a limit that a fleet shares. The table of o is not used. While Redis cannot be asked, requests are refused if closed is
// set, and pass otherwise.
func NewShared(o RateOptions, l *lease.Limit, closed bool, unchecked *telemetry.Counter) *Shared {
	o.Table = l.Table().Entries()
	return &Shared{NewRate(o), l, closed, unchecked}
}

// Unchecked creates the counter of a route's decisions without Redis.
func Unchecked(s *telemetry.Scope, route string, closed bool) *telemetry.Counter {
	result := "open"
	if closed {
		result = "closed"
	}
	return s.Counter("lb_limit_decisions_total", "route", route, "result", result)
}

// notChecked is for a limit that fails closed.
var notChecked = &filter.Refusal{
	Status: http.StatusServiceUnavailable, Reason: "the limit of requests cannot be checked", Rejected: "rate_limit",
}

// Request implements filter.Request.
func (s *Shared) Request(x filter.Exchange) filter.Verdict {
	var room [8]byte
	kind, identity, _ := s.Key.identity(x, room[:0])
	key := gcra.Key(s.Table.Seed(), kind, identity)
	o := s.limit.Take(lease.Client{Key: key, Kind: kind, Identity: identity})
	if o != lease.Unknown {
		return filter.Refuse(s.decide(key, o))
	}
	c := lease.Client{Key: key, Kind: kind, Identity: bytes.Clone(identity)}
	return filter.Verdict{Ask: func(ctx context.Context) *filter.Refusal { return s.decide(key, s.limit.Ask(ctx, c)) }}
}

// decide counts a decision, and returns the refusal if it is one.
func (s *Shared) decide(key uint64, o lease.Outcome) *filter.Refusal {
	switch o {
	case lease.Granted:
		s.Decisions.Allowed.Inc()
		return nil
	case lease.Denied:
		s.Decisions.Limited.Inc()
		d := s.Table.Peek(key, s.rate)
		d.Retry = max(1, d.Retry) // the time may have come meanwhile
		return s.refusal(d)
	}
	s.unchecked.Inc()
	if s.closed {
		return notChecked
	}
	return nil
}

// Explain implements filter.Explainer: it asks nobody, and knows what Redis has said last.
func (s *Shared) Explain(x filter.Exchange) filter.Verdict {
	switch {
	case !s.limit.Down():
		return s.Rate.Explain(x)
	case s.closed:
		return filter.Refuse(notChecked)
	}
	return filter.Pass
}
