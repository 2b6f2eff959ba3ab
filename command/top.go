package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"lb/internal/cli"
)

func topCommand(args []string, s streams) int {
	flags := newFlags("top")
	target, top := clientFlags(flags), cli.Top{}
	flags.DurationVar(&top.Interval, "interval", time.Second, "the time between two updates")
	flags.IntVar(&top.Rounds, "n", 0, "the `number` of updates; 0: until q or Ctrl-C")
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	if top.Interval < 100*time.Millisecond || top.Rounds < 0 {
		fmt.Fprintln(s.err, "lb: -interval must be at least 100ms, and -n not below 0")
		return exitUsage
	}
	var err error
	if top.Client, err = target.client(s); err != nil {
		return result(err, s)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if out, ok := s.out.(*os.File); ok && cli.IsTerminal(out) {
		return result(top.Show(ctx, os.Stdin, out), s)
	}
	return result(top.Print(ctx, s.out), s)
}
