package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"lb/admin"
)

// clientFlags adds the flags of commands that talk to a running balancer.
func clientFlags(flags *flag.FlagSet) *admin.Client {
	c := &admin.Client{Token: os.Getenv("LB_ADMIN_TOKEN")}
	flags.StringVar(&c.Addr, "admin", "127.0.0.1:9900", "the running balancer's admin listener")
	// Not StringVar: the usage text would show the variable's value as the default.
	flags.Func("token", "the admin `token` (default: the variable LB_ADMIN_TOKEN)", func(token string) error {
		c.Token = token
		return nil
	})
	return c
}

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func statusCommand(args []string, s streams) int {
	flags := newFlags("status")
	client := clientFlags(flags)
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	ctx, cancel := soon()
	defer cancel()
	pools, err := client.Pools(ctx)
	if err == nil {
		err = admin.WriteTable(s.out, pools)
	}
	return result(err, s)
}

func reloadCommand(args []string, s streams) int {
	flags := newFlags("reload")
	client := clientFlags(flags)
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	ctx, cancel := soon()
	defer cancel()
	diagnostics, err := client.Reload(ctx)
	if diagnostics = strings.TrimSpace(diagnostics); diagnostics != "" {
		fmt.Fprintln(s.err, diagnostics)
		if err != nil {
			err = errors.New("not reloaded, the configuration in force stays")
		}
	}
	if err == nil {
		fmt.Fprintln(s.out, "reloaded")
	}
	return result(err, s)
}

// result prints an error, if there is one, and returns the exit status: a request that the
// balancer finds senseless is wrong usage.
func result(err error, s streams) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(s.err, "lb: %v\n", err)
	var refused *admin.ResponseError
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return exitUsage
	}
	return exitFail
}
