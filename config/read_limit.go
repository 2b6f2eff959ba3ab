package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"lb/internal/lease"
)

// maxRate is the highest rate, in requests a second.
const maxRate = 1_000_000

func readRateLimits(route *block) (list []RateLimit) {
	for _, b := range route.all("rate_limit", "") {
		l := defaultRateLimit()
		l.Pos = b.pos(b.at)
		b.text("key", &l.Key, limitKey(route))
		rate := "100/s"
		b.text("rate", &rate, limitRate)
		l.Rate, _ = parseRate(rate)
		l.Window = rateUnit(rate)
		b.number("burst", &l.Burst, 1, unlimited)
		b.secret("redis", &l.Redis, optional(redisURL))
		b.text("redis_down", &l.RedisDown, oneOf("open", "closed"))
		if l.RedisDown == "closed" && l.Redis == "" {
			b.warn(b.place("redis_down"), "redis_down has no effect without redis", `Remove it, or write: redis = "redis://127.0.0.1:6379"`)
		}
		b.end()
		list = append(list, l)
	}
	return list
}

// limitKey requires a key of a limit, which may be a claim if the route accepts tokens.
func limitKey(route *block) textCheck {
	form := clientKey("client_ip", "path", "jwt:CLAIM")
	tokens := slices.ContainsFunc(route.blocks, func(b *hclsyntax.Block) bool { return b.Type == "jwt" })
	return func(s string) (problem, remedy string) {
		if problem, remedy = form(s); problem == "" && strings.HasPrefix(s, "jwt:") && !tokens {
			return fmt.Sprintf("is a claim of a token, but the route has no jwt: %q", s), "Add a jwt block, which accepts tokens, or choose another key."
		}
		return problem, remedy
	}
}

// limitRate requires a rate that is not above maxRate.
func limitRate(s string) (problem, remedy string) {
	switch rate, ok := parseRate(s); {
	case !ok:
		return fmt.Sprintf("is not a rate: %q", s), `Write a whole number a second, minute or hour: "100/s", "60/m", "1000/h"`
	case rate > maxRate:
		return fmt.Sprintf("is too high: %q", s), fmt.Sprintf("Write at most \"%d/s\", or remove the block.", maxRate)
	}
	return "", ""
}

// redisURL requires the URL of a Redis.
func redisURL(s string) (problem, remedy string) {
	if _, err := lease.ParseURL(s); err != nil {
		return "cannot be used: " + err.Error(), `Write: "redis://:PASSWORD@HOST:6379/0", or rediss:// for TLS`
	}
	return "", ""
}

// rateUnit returns the unit of a rate that parseRate accepts.
func rateUnit(s string) time.Duration {
	switch s[len(s)-1] {
	case 'm':
		return time.Minute
	case 'h':
		return time.Hour
	}
	return time.Second
}

func readConcurrency(route *block) (list []Concurrency) {
	for _, b := range route.all("concurrency", "") {
		c := defaultConcurrency()
		c.Pos = b.pos(b.at)
		b.text("key", &c.Key, limitKey(route))
		b.number("limit", &c.Limit, 1, unlimited)
		b.end()
		list = append(list, c)
	}
	return list
}
