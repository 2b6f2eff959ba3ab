package command

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"lb/internal/cli"
)

// parseMember reads the first argument; if it cannot, it says so and ok is false.
func parseMember(args []string, example string, s streams) (m cli.Member, ok bool) {
	if len(args) > 0 {
		m, ok = cli.ParseMember(args[0])
	}
	if !ok {
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
	b, err := client.SetAdmin(ctx, m.Pool, m.Backend, state)
	if err != nil {
		return result(err, s)
	}
	writeChanged(client, m, b, s)
	if *wait && b.InFlight > 0 {
		return result(client.WriteIdle(context.Background(), s.out, m, *limit), s)
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
	b, err := client.SetWeight(ctx, m.Pool, m.Backend, weight)
	if err != nil {
		return result(err, s)
	}
	writeChanged(client, m, b, s)
	return exitOK
}

func writeChanged(client *cli.Client, m cli.Member, b cli.Backend, s streams) {
	ctx, cancel := soon() // the change may have taken long
	defer cancel()
	client.WriteChanged(ctx, s.out, s.err, m, b)
}
