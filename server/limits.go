package server

import (
	"fmt"
	"slices"

	"lb/config"
	"lb/filter"
	"lb/filter/limit"
	"lb/internal/gcra"
	"lb/internal/lease"
)

// limitStates are the states of limits, which a reload keeps: by site, route, kind and key.
type limitStates struct {
	tables map[string]*gcra.Table
	places map[string]*limit.Places
	leases map[string]*lease.Table     // the names begin with the address of the Redis
	stores map[config.Secret]*redisRun // by URL
}

func newLimitStates() *limitStates {
	return &limitStates{map[string]*gcra.Table{}, map[string]*limit.Places{}, map[string]*lease.Table{}, map[config.Secret]*redisRun{}}
}

// keep returns the state of that name which is in use, or a new one, and the name, with a number if there is another state of that name;
// into are those of the next generation.
func keep[T any](used, into map[string]*T, name string, create func() *T) (state *T, unique string) {
	unique = name
	for again := 2; into[unique] != nil; again++ { // another route with the same pattern, or a second limit by the same key
		unique = fmt.Sprint(unique, "#", again)
	}
	if state = used[unique]; state == nil {
		state = create()
	}
	into[unique] = state
	return state, unique
}

// limits returns the filters of a route's limits: before are applied before the filters that authenticate a client, and after, those by a
// claim of its token, behind them.
func (s *Server) limits(c *config.Route, site string, g *generation) (before, after []filter.Request, responses []filter.Response, err error) {
	if len(c.RateLimits)+len(c.Concurrency) == 0 {
		return nil, nil, nil, nil
	}
	decisions := limit.NewDecisions(g.series(s), c.Pattern)
	id := func(key string) string { return fmt.Sprintf("%q %q %s", site, c.Pattern, key) }
	add := func(key string, f filter.Request) {
		if limit.ClaimOf(key) != "" {
			after = append(after, f)
		} else {
			before = append(before, f)
		}
	}
	for i, l := range c.RateLimits {
		o := limit.RateOptions{Name: "default", Key: limit.NewKey(l.Key), PerSecond: l.Rate, Window: l.Window, Burst: l.Burst, Decisions: decisions}
		if i > 0 {
			o.Name = fmt.Sprint("limit-", i+1)
		}
		if l.Redis != "" {
			shared, err := s.sharedRate(o, &l, id(l.Key), c.Pattern, g)
			if err != nil {
				return nil, nil, nil, at(l.Pos, "cannot use redis", err)
			}
			add(l.Key, shared)
			responses = append(responses, shared)
			continue
		}
		o.Table, _ = keep(s.limitStates.tables, g.limits.tables, id(l.Key), func() *gcra.Table { return gcra.NewTable(gcra.DefaultEntries) })
		rate := limit.NewRate(o)
		add(l.Key, rate)
		responses = append(responses, rate)
	}
	for _, l := range c.Concurrency {
		places, _ := keep(s.limitStates.places, g.limits.places, id(l.Key), limit.NewPlaces)
		add(l.Key, &limit.Concurrency{Key: limit.NewKey(l.Key), Limit: l.Limit, Decisions: decisions, Places: places})
	}
	return before, after, responses, nil
}

// limitedClaims returns the claims by which the limits of a route distinguish clients.
func limitedClaims(c *config.Route) (names []string) {
	for _, l := range c.RateLimits {
		names = append(names, limit.ClaimOf(l.Key))
	}
	for _, l := range c.Concurrency {
		names = append(names, limit.ClaimOf(l.Key))
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}
