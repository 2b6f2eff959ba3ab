package limit

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"lb/filter"
	"lb/internal/gcra"
	"lb/message"
	"lb/telemetry"
)

// RateOptions describe a limit of requests over time.
type RateOptions struct {
	Name      string // of the policy, in the response; without quotes and backslashes
	Key       Key
	PerSecond float64
	Window    time.Duration // the unit in which the rate was written: a second, a minute or an hour
	Burst     int           // requests at once
	Table     *gcra.Table   // which may be shared with the limit before a reload
	Decisions Decisions
}

// Decisions are the counters of a route's limits.
type Decisions struct{ Allowed, Limited *telemetry.Counter }

// NewDecisions creates the counters of a route.
func NewDecisions(s *telemetry.Scope, route string) Decisions {
	return Decisions{
		Allowed: s.Counter("lb_limit_decisions_total", "route", route, "result", "allowed"),
		Limited: s.Counter("lb_limit_decisions_total", "route", route, "result", "limited"),
	}
}

// Rate limits the requests of each client over time. It is also the response filter that reports to clients what is left
// (draft-ietf-httpapi-ratelimit-headers-10).
type Rate struct {
	RateOptions
	rate   gcra.Rate
	policy []byte // the value of RateLimit-Policy
	prefix []byte // of the value of RateLimit
	// refusals are for the first seconds to wait.
	refusals [64]*filter.Refusal
}

// NewRate returns a limit.
func NewRate(o RateOptions) *Rate {
	r := &Rate{RateOptions: o, rate: gcra.NewRate(o.PerSecond, o.Burst)}
	r.prefix = fmt.Appendf(nil, "%q", o.Name)
	quota := int(o.PerSecond*o.Window.Seconds() + 0.5)
	r.policy = fmt.Appendf(nil, "%s;q=%d;w=%d", r.prefix, quota, int(o.Window.Seconds()))
	for i := range r.refusals {
		r.refusals[i] = newTooMany(i)
	}
	return r
}

func newTooMany(seconds int) *filter.Refusal {
	return &filter.Refusal{
		Status: http.StatusTooManyRequests, Reason: "too many requests from this client", Rejected: "rate_limit",
		Fields: []message.Field{message.NewField("Retry-After", strconv.Itoa(seconds))},
	}
}

// Request implements filter.Request.
func (r *Rate) Request(x filter.Exchange) filter.Verdict {
	key, _ := r.Key.of(x, r.Table.Seed())
	d := r.Table.Take(key, r.rate)
	if d.OK {
		r.Decisions.Allowed.Inc()
		return filter.Pass
	}
	r.Decisions.Limited.Inc()
	return filter.Refuse(r.refusal(d))
}

// Explain implements filter.Explainer: it does not count the request.
func (r *Rate) Explain(x filter.Exchange) filter.Verdict {
	key, known := r.Key.of(x, r.Table.Seed())
	if d := r.Table.Peek(key, r.rate); known && !d.OK {
		return filter.Refuse(r.refusal(d))
	}
	return filter.Pass
}

func (r *Rate) refusal(d gcra.Decision) *filter.Refusal {
	if s := seconds(d.Retry); s < len(r.refusals) {
		return r.refusals[s]
	}
	return newTooMany(seconds(d.Retry))
}

// seconds rounds up, so that no client retries too early.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

var (
	nameRateLimit       = message.NewName("RateLimit")
	nameRateLimitPolicy = message.NewName("RateLimit-Policy")
)

// Response implements filter.Response.
func (r *Rate) Response(x filter.Exchange, response *message.Response, kind filter.Kind) {
	if kind == filter.Interim || r.Key.early(x) {
		return
	}
	key, _ := r.Key.of(x, r.Table.Seed())
	d := r.Table.Peek(key, r.rate)
	var room [128]byte
	value := append(append(room[:0], r.prefix...), ";r="...)
	value = strconv.AppendInt(value, int64(d.Remaining), 10)
	value = append(value, ";t="...)
	value = strconv.AppendInt(value, int64(seconds(d.Reset)), 10)
	response.AddBytes(nameRateLimitPolicy, r.policy)
	response.AddBytes(nameRateLimit, value)
}
