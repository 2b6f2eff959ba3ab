package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"lb/internal/cli"
)

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

func statusCommand(args []string, s streams) int {
	return writeCommand("status", (*cli.Client).WriteStatus, args, s)
}

func reloadCommand(args []string, s streams) int {
	return writeCommand("reload", (*cli.Client).WriteReload, args, s)
}

// writeCommand runs a command without arguments that writes what the admin API responds.
func writeCommand(name string, write func(c *cli.Client, ctx context.Context, out, warnings io.Writer) error, args []string, s streams) int {
	flags := newFlags(name)
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
	return result(write(client, ctx, s.out, s.err), s)
}

// result prints an error, if there is one, and returns the exit status: a request that the
// balancer finds senseless is wrong usage.
func result(err error, s streams) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(s.err, "lb: %v\n", err)
	var refused *cli.ResponseError
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return exitUsage
	}
	return exitFail
}
