package server

import (
	"fmt"
	"strings"
	"time"

	"lb/admin"
	"lb/cache"
	"lb/config"
	"lb/proxy"
)

// cached adds the route's cache to what forwards its requests, if the route has one.
func (s *Server) cached(c *config.Route, site string, forward proxy.Action) proxy.Action {
	if c.Cache == nil {
		return forward
	}
	return &proxy.Cached{Action: forward, Route: s.responses.Route(cache.RouteOptions{
		Name: responsesName(c, site), Key: cache.NewKey(c.Cache.Key), TTL: wholeSeconds(c.Cache.TTL), MaxObject: c.Cache.MaxObject,
		StaleWhileRevalidate: wholeSeconds(c.Cache.StaleWhileRevalidate), StaleIfError: wholeSeconds(c.Cache.StaleIfError),
	})}
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// responsesName identifies a route and where its responses come from. The responses stay over a reload if the name does.
func responsesName(c *config.Route, site string) string {
	p, h := c.Proxy, &c.RequestHeaders
	return fmt.Sprintf("%q", []any{
		site, c.Pattern, c.Methods, c.Headers, c.Query, p.Pool, p.Split, p.StripPrefix, p.Rewrite, p.Host, h.Set, h.Add, h.Remove, c.Cache.Key,
	})
}

// purge removes stored responses at the request of an administrator.
func (s *Server) purge(p admin.Purge) (removed int, err error) {
	removed, err = s.responses.Purge(cache.Purge{URL: p.URL, Prefix: p.Prefix, Tag: p.Tag})
	if err == nil {
		s.log.Info("purged stored responses", "url", p.URL, "prefix", p.Prefix, "tag", p.Tag, "removed", removed)
	}
	return removed, err
}

// cacheRule describes the cache of a route.
func cacheRule(c *config.Cache) string {
	text := fmt.Sprintf("responses up to %d bytes are stored, by scheme, path, %s", c.MaxObject, strings.Join(c.Key, ", "))
	if c.TTL > 0 {
		text += fmt.Sprintf("; for %v if they do not say for how long", c.TTL)
	}
	if c.StaleWhileRevalidate > 0 {
		text += fmt.Sprintf("; stale for %v while they are refreshed", c.StaleWhileRevalidate)
	}
	if c.StaleIfError > 0 {
		text += fmt.Sprintf("; stale for %v if the backends fail", c.StaleIfError)
	}
	return text
}
