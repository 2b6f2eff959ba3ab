package limit

import (
	"context"
	"sync"
	"testing"
	"time"

	"lb/filter"
	"lb/internal/lbtest"
	"lb/internal/lease"
	"lb/message"
	"lb/telemetry"
)

// sharedAt returns a limit of one request a minute and address in the Redis at an address.
func sharedAt(t *testing.T, address string, closed bool) *Shared {
	a, err := lease.ParseURL("redis://" + address)
	if err != nil {
		t.Fatal(err)
	}
	store := lease.NewStore(lease.Options{Address: a, Changed: func(error) {}, Asked: func(time.Duration, error) {}})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { store.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	scope := telemetry.NewRegistry().NewScope()
	return NewShared(RateOptions{Name: "default", PerSecond: 1.0 / 60, Window: time.Minute, Burst: 1, Decisions: NewDecisions(scope, "/")},
		store.NewLimit("a", 1.0/60, 1, lease.NewTable()), closed, Unchecked(scope, "/", closed))
}

// ask returns the refusal of a verdict, for which it waits.
func ask(v filter.Verdict) *filter.Refusal {
	if v.Ask != nil {
		return v.Ask(context.Background())
	}
	return v.Refusal
}

func TestShared(t *testing.T) {
	redis := lbtest.StartRedis(t)
	open, closed := sharedAt(t, redis.Addr, false), sharedAt(t, redis.Addr, true)
	x := from("192.0.2.1")
	if r := ask(open.Request(x)); r != nil {
		t.Errorf("%+v", r)
	}
	if r := ask(closed.Request(x)); r == nil || r.Status != 429 || string(r.Fields[0].Line) != "Retry-After: 60\r\n" {
		t.Errorf("through another process: %+v", r)
	}
	if closed.Explain(x).Refusal == nil || closed.Explain(from("192.0.2.2")).Refusal != nil {
		t.Error("the explanation differs")
	}
	var response message.Response
	if closed.Response(x, &response, filter.Usual); len(response.Fields) != 2 || string(response.Fields[1].Value) != `"default";r=0;t=60` {
		t.Errorf("%d fields", len(response.Fields))
	}
	if n := testing.AllocsPerRun(10, func() { // as long as the refusal is remembered
		if v := closed.Request(x); v.Ask == nil && v.Refusal == nil {
			t.Error("passes")
		}
	}); n > 1 { // one more question may be asked meanwhile
		t.Errorf("%g allocations", n)
	}
	redis.Kill()
	lbtest.Eventually(t, "the loss", func() bool {
		a, b := ask(open.Request(from("192.0.2.3"))), ask(closed.Request(from("192.0.2.3")))
		return a == nil && b == notChecked && open.limit.Down() && closed.limit.Down()
	})
	if v := closed.Request(from("192.0.2.4")); v.Refusal != notChecked {
		t.Error("a request waits for a Redis that is lost")
	}
	if open.Explain(x).Refusal != nil || closed.Explain(x).Refusal != notChecked {
		t.Error("the explanation differs")
	}
	if open.unchecked.Get() == 0 || closed.unchecked.Get() == 0 {
		t.Error("decisions without Redis are not counted")
	}
}
