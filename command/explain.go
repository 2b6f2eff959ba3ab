package command

import (
	"fmt"

	"lb/config"
	"lb/internal/cli"
	"lb/server"
)

func explainCommand(args []string, s streams) int {
	flags := newFlags("explain")
	target := addressFlags(flags)
	var q cli.Question
	flags.StringVar(&q.Method, "method", "GET", "the request's `method`")
	flags.StringVar(&q.Client, "client", "", "the `address` that the request comes from, for allow, deny and hash_key")
	flags.Func("header", "a header field of the request, as `\"Name: value\"`; may be repeated", func(line string) error {
		q.Header = append(q.Header, line)
		return nil
	})
	file := flags.String("config", "", "explain from this configuration, a `file` or a directory, instead of asking a running balancer")
	raw := flags.Bool("json", false, "print the result as JSON")
	rest, status, ok := parse(flags, args, 1, s)
	if !ok {
		return status
	}
	if len(rest) == 0 {
		fmt.Fprintln(s.err, "lb: name the URL to explain: lb explain http://clock.example.com/images/clock.svg")
		return exitUsage
	}
	q.URL = rest[0]
	e, status := explanation(target, *file, q, s)
	if e == nil {
		return status
	}
	if *raw {
		return result(cli.WriteExplanationJSON(s.out, e), s)
	}
	return result(cli.WriteExplanation(s.out, e), s)
}

// explanation asks the running balancer, or reads the file if one is named. Nil says that it has
// printed why not, and the status to exit with.
func explanation(target *target, file string, q cli.Question, s streams) (*cli.Explanation, int) {
	if err := server.CheckQuestion(q); err != nil {
		fmt.Fprintf(s.err, "lb: %v\n", err)
		return nil, exitUsage
	}
	if file != "" {
		cfg, diags := config.Load(file, s.extensions...)
		if diags.HasErrors() {
			_ = diags.WriteText(s.err)
			return nil, exitFail
		}
		e, err := server.ExplainConfig(cfg, q)
		if err != nil {
			return nil, result(err, s)
		}
		return e, exitOK
	}
	client, err := target.client(s)
	if err != nil {
		return nil, result(err, s)
	}
	ctx, cancel := soon()
	defer cancel()
	e, err := client.Explain(ctx, q)
	if err != nil {
		return nil, result(err, s)
	}
	return e, exitOK
}
