package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lb/admin"
)

// member is a backend as the command line names it: POOL/BACKEND.
type member struct{ pool, backend string }

func (m member) String() string { return m.backend + " in pool " + m.pool }

// parseMember reads the first argument; if it cannot, it says so and ok is false.
func parseMember(args []string, example string, s streams) (m member, ok bool) {
	if len(args) > 0 {
		m.pool, m.backend, ok = strings.Cut(args[0], "/")
	}
	if !ok || m.pool == "" || m.backend == "" {
		fmt.Fprintf(s.err, "lb: write the backend as POOL/BACKEND: %s\n", example)
		return m, false
	}
	return m, true
}

func stateCommand(state string, args []string, s streams) int {
	flags := newFlags(state)
	target := clientFlags(flags)
	wait, limit := new(bool), new(time.Duration)
	if state != "ready" {
		wait = flags.Bool("wait", false, "wait until no request to it is in flight")
		limit = flags.Duration("timeout", time.Minute, "with -wait: how long to wait; then exit with status 1, and the state stays set")
	}
	rest, status, ok := parse(flags, args, 1, s)
	if !ok {
		return status
	}
	m, ok := parseMember(rest, "lb "+state+" app/127.0.0.1:5000", s)
	if !ok {
		return exitUsage
	}
	client, err := target.client(s)
	if err != nil {
		return result(err, s)
	}
	ctx, cancel := soon()
	defer cancel()
	b, err := client.SetAdmin(ctx, m.pool, m.backend, state)
	if err != nil {
		return result(err, s)
	}
	inForce(client, m, b, s)
	if *wait && b.InFlight > 0 {
		return result(awaitIdle(client, m, *limit, s), s)
	}
	return exitOK
}

func weightCommand(args []string, s streams) int {
	flags := newFlags("weight")
	target := clientFlags(flags)
	rest, status, ok := parse(flags, args, 2, s)
	if !ok {
		return status
	}
	const example = "lb weight app/127.0.0.1:5000 2"
	m, ok := parseMember(rest, example, s)
	if !ok {
		return exitUsage
	}
	weight := -1
	if len(rest) == 2 {
		if n, err := strconv.Atoi(rest[1]); err == nil {
			weight = n
		}
	}
	if weight < 0 {
		fmt.Fprintf(s.err, "lb: write the weight, or 0 to restore the configured one: %s\n", example)
		return exitUsage
	}
	client, err := target.client(s)
	if err != nil {
		return result(err, s)
	}
	ctx, cancel := soon()
	defer cancel()
	b, err := client.SetWeight(ctx, m.pool, m.backend, weight)
	if err != nil {
		return result(err, s)
	}
	inForce(client, m, b, s)
	return exitOK
}

// inForce prints a backend as it is after a change, and warns where the pool cannot do without it.
func inForce(client *admin.Client, m member, b admin.Backend, s streams) {
	fmt.Fprintf(s.out, "%v: %s\n", m, admin.Summary(b))
	ctx, cancel := soon()
	defer cancel()
	if p, err := client.Pool(ctx, m.pool); err == nil && p.Tier == "none" {
		fmt.Fprintf(s.err, "lb: warning: no backend of pool %s is usable now: its requests get 503\n", m.pool)
	}
}

func awaitIdle(client *admin.Client, m member, limit time.Duration, s streams) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	b, err := client.AwaitIdle(ctx, m.pool, m.backend)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%v still has %d requests in flight after %v; it stays in %s; to wait longer use -timeout", m, b.InFlight, limit, b.Admin)
	}
	if err == nil {
		fmt.Fprintf(s.out, "%v: %s\n", m, admin.Summary(b))
	}
	return err
}
