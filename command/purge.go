package command

import (
	"fmt"

	"lb/internal/cli"
)

func purgeCommand(args []string, s streams) int {
	flags := newFlags("purge")
	target := clientFlags(flags)
	prefix := flags.String("prefix", "", "remove the responses to all URLs that begin with this one")
	tag := flags.String("tag", "", "remove the responses with this tag")
	rest, status, ok := parse(flags, args, 1, s)
	if !ok {
		return status
	}
	what := cli.Purge{Prefix: *prefix, Tag: *tag}
	if len(rest) == 1 {
		what.URL = rest[0]
	}
	given := 0
	for _, text := range [...]string{what.URL, what.Prefix, what.Tag} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return misused(flags, "write a URL, -prefix URL or -tag TAG, and only one of them", s)
	}
	client, err := target.client(s)
	if err != nil {
		return result(err, s)
	}
	ctx, cancel := soon()
	defer cancel()
	removed, err := client.Purge(ctx, what)
	if err != nil {
		return result(err, s)
	}
	switch removed {
	case 1:
		fmt.Fprintln(s.out, "removed 1 response")
	default:
		fmt.Fprintf(s.out, "removed %d responses\n", removed)
	}
	return exitOK
}
