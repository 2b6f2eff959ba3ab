package server

import (
	"context"
	"strings"
	"time"

	"lb/config"
	"lb/filter/limit"
	"lb/internal/lease"
	"lb/telemetry"
)

// redisRun is a Redis that has limits of a fleet. It outlives reloads as long as its URL stays in the configuration.
type redisRun struct {
	store  *lease.Store
	name   string             // the address, without user and password
	scope  *telemetry.Scope   // of its series
	cancel context.CancelFunc // nil: not started
}

// sharedRate returns a limit that a fleet shares. id is that of the limit in all of the fleet.
func (s *Server) sharedRate(o limit.RateOptions, l *config.RateLimit, id, route string, g *generation) (*limit.Shared, error) {
	run, err := s.redis(l.Redis, g)
	if err != nil {
		return nil, err
	}
	where := run.name + " "
	table, name := keep(s.limitStates.leases, g.limits.leases, where+id, lease.NewTable)
	closed := l.RedisDown == "closed"
	shared := run.store.NewLimit(strings.TrimPrefix(name, where), l.Rate, l.Burst, table)
	return limit.NewShared(o, shared, closed, limit.Unchecked(g.series(s), route, closed)), nil
}

// redis returns the run of a URL, the one there is or a new one.
func (s *Server) redis(url config.Secret, g *generation) (*redisRun, error) {
	run := g.limits.stores[url]
	if run == nil {
		run = s.limitStates.stores[url]
	}
	if run == nil {
		address, err := lease.ParseURL(string(url))
		if err != nil {
			return nil, err
		}
		run = s.newRedis(address)
		g.undo = append(g.undo, run.scope.Close)
	}
	g.limits.stores[url] = run
	return run, nil
}

func (s *Server) newRedis(address lease.Address) *redisRun {
	run := &redisRun{name: address.String(), scope: s.registry.NewScope()}
	took := run.scope.Histogram("lb_limit_redis_seconds", "redis", run.name)
	failed := run.scope.Counter("lb_limit_redis_errors_total", "redis", run.name)
	log := s.log.Named("limits").With("redis", run.name)
	run.store = lease.NewStore(lease.Options{
		Address: address,
		Changed: func(err error) {
			if err != nil {
				log.Error("cannot use redis for rate limits; redis_down applies", "error", err)
				return
			}
			log.Info("redis can be used for rate limits again")
		},
		Asked: func(d time.Duration, err error) {
			took.Observe(d)
			if err != nil {
				failed.Inc()
			}
		},
	})
	run.scope.Gauge("lb_limit_redis_up", func() float64 {
		if run.store.Down() {
			return 0
		}
		return 1
	}, "redis", run.name)
	return run
}

// startStores starts the stores of a generation that do not run yet.
func (s *Server) startStores(g *generation) {
	for _, run := range g.limits.stores {
		if run.cancel == nil {
			var ctx context.Context
			ctx, run.cancel = context.WithCancel(s.background)
			s.goRun(func() { run.store.Run(ctx) })
		}
	}
}

// retireStores ends the stores that only the old generation has used.
func retireStores(old, g *generation) {
	for url, run := range old.limits.stores {
		if g.limits.stores[url] != run {
			run.cancel()
			run.scope.Close()
		}
	}
}
