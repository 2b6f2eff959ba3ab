// Command bench measures lb beside nginx, HAProxy and Caddy: the same backend, the same files, the same load, in
// one run on loopback.
//
//	go run ./bench                                  everything, five rounds of five seconds
//	go run ./bench -only proxy1k -rounds 9          one scenario, with less noise
//	go run ./bench -lb old=/tmp/lb-old,new=/tmp/lb  two builds of lb beside each other
//
// The balancers are measured in turn within each round, in random order, so that what the machine does
// meanwhile falls on all of them alike. The figure that counts is CPU per request, of
// all processes and threads of a balancer together: it does not depend on what the load generator left over.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

func main() {
	// The kernel ends a child with the thread that started it (see fleet.start), so that thread must be
	// one that lives as long as the program: main's own.
	runtime.LockOSThread()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == handshakesArgument {
		if err := generateHandshakes(ctx, os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	options, err := parseOptions(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, options); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures and reports. It stops all that it has started before it returns, even on errors.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "lb-bench-")
	if err != nil {
		return fmt.Errorf("cannot make a working directory: %w", err)
	}
	if o.keep {
		fmt.Fprintf(os.Stderr, "bench: configurations and logs are in %s\n", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	fleet := &fleet{dir: dir, patience: 5 * time.Second}
	defer fleet.stopAll()

	bench, err := prepare(ctx, o, dir, fleet)
	if err != nil {
		return err
	}
	report := report{Machine: describeMachine(ctx, bench.subjects), Options: o.describe(), Notes: bench.notes}
	for _, s := range o.scenarios {
		result := bench.runScenario(ctx, s)
		report.Scenarios = append(report.Scenarios, result)
		if ctx.Err() != nil {
			report.Notes = append(report.Notes, "The run was interrupted: what follows is incomplete.")
			break
		}
	}
	if err := writeReport(report, o.out); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "bench: wrote %s\n", filepath.Join(o.out, "{report.md,results.json,chart.svg}"))
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if n := report.failures(); n > 0 {
		return fmt.Errorf("%d measurements failed or had errors, see the report's notes", n)
	}
	return nil
}
