package lease

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// prefix begins the names of all keys in Redis. Its braces keep them on one node of a Redis Cluster, so that either all of them can be used
// through a node or none.
const prefix = "{lb:limit}:"

// script takes tokens from the limit of one client, by the generic cell rate algorithm. The value of the key is the time at which the burst
// is whole again, in microseconds by the clock of Redis, which is the same for all of the fleet. The key expires at that time. A value that
// is not such a time, or too far ahead, counts as the nearest that is.
//
//	ARGV: microseconds between two requests at the steady rate, burst, tokens needed at once, tokens for a lease
//
// It returns the number of tokens taken, the microseconds until there is one more, and those until the burst is whole. A lease gets at
// most a quarter of what is left, so that it leaves something to the others.
const script = `
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local need, lease = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local whole = burst * interval
local full = redis.pcall('GET', KEYS[1])
full = type(full) == 'string' and tonumber(full) or now
if not (full > now) then full = now end
if full > now + whole then full = now + whole end
local left = math.max(0, math.floor((now + whole - full) / interval + 0.001))
local taken = math.min(need, left)
taken = taken + math.min(lease, math.floor((left - taken) / 4))
full = full + taken * interval
local life = math.ceil((full - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', string.format('%.0f', math.max(1, math.min(life, 1e12))))
return {taken, math.ceil(math.max(0, full + interval - now - whole)), math.ceil(full - now)}
`

// digest names the script in Redis, once that has it.
var digest = redis.NewScript(script).Hash()

// wish is what the script is asked for.
type wish struct {
	key         string // in Redis
	interval    float64
	burst       int
	need, lease int
}

// given is what the script returns.
type given struct {
	tokens int
	retry  time.Duration // until there is one more
	reset  time.Duration // until the burst is whole again
}

// maxMicroseconds bounds the times that Redis returns, so that they fit into a Duration.
const maxMicroseconds = math.MaxInt64 / 4000

// evaluate has the script run for each wish, in one round trip. results are valid if there is no error. It loads the script if Redis
// does not have it yet.
func evaluate(ctx context.Context, client *redis.Client, wishes []wish, results []given) error {
	err := evaluateOnce(ctx, client, wishes, results)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err = load(ctx, client); err == nil {
			err = evaluateOnce(ctx, client, wishes, results)
		}
	}
	return err
}

// load gives Redis the script. It uses the connections of evaluate.
func load(ctx context.Context, client *redis.Client) error {
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ScriptLoad(ctx, script)
		return nil
	})
	return err
}

func evaluateOnce(ctx context.Context, client *redis.Client, wishes []wish, results []given) error {
	commands, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range wishes {
			w := &wishes[i]
			p.EvalSha(ctx, digest, []string{w.key}, fmt.Sprintf("%.6f", w.interval), w.burst, w.need, w.lease)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, c := range commands {
		numbers, err := c.(*redis.Cmd).Int64Slice()
		if err != nil {
			return err
		}
		if len(numbers) != 3 || numbers[0] < 0 || numbers[0] > int64(wishes[i].need+wishes[i].lease) || numbers[1] < 0 || numbers[2] < 0 {
			return errors.New("the response is not that of the script")
		}
		results[i] = given{tokens: int(numbers[0]), retry: microseconds(numbers[1]), reset: microseconds(numbers[2])}
	}
	return nil
}

func microseconds(n int64) time.Duration {
	return time.Duration(min(n, maxMicroseconds)) * time.Microsecond
}
