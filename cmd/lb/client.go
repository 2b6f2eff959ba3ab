package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"lb/admin"
)

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func statusCommand(args []string, s streams) int {
	flags := newFlags("status")
	target := clientFlags(flags)
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	client, err := target.client(s)
	if err != nil {
		return result(err, s)
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
	target := clientFlags(flags)
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	client, err := target.client(s)
	if err != nil {
		return result(err, s)
	}
	ctx, cancel := soon()
	defer cancel()
	diagnostics, err := client.Reload(ctx)
	if diagnostics = strings.TrimSpace(diagnostics); diagnostics != "" {
		fmt.Fprintln(s.err, diagnostics)
		if err != nil {
			err = errors.New("not reloaded; the configuration in force stays")
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
