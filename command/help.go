package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"lb/config"
	"lb/internal/spelling"
)

// commandList is what "lb help" prints.
func commandList() string {
	const column = 33 // where the summaries begin
	var text strings.Builder
	text.WriteString("lb is an HTTP load balancer.\n\n")
	for _, c := range commands() {
		for _, f := range c.forms {
			gap := column - utf8.RuneCountInString(f.usage)
			if gap < 2 {
				fmt.Fprintf(&text, "  %s\n  ", f.usage)
				f.usage, gap = "", column
			} else {
				text.WriteString("  ")
			}
			fmt.Fprintf(&text, "%s%*s%s\n", f.usage, gap, "", f.summary)
		}
	}
	text.WriteString(`
-config defaults to ./lb.hcl, then /etc/lb/lb.hcl. Commands that talk to a running balancer find its
admin listener, and the token, by the flags -admin and -token, the variables LB_ADMIN and
LB_ADMIN_TOKEN, the configuration, or at ` + config.DefaultAdmin + `. "lb help COMMAND" shows more.
`)
	return text.String()
}

func helpCommand(args []string, s streams) int {
	rest, status, ok := parse(newFlags("help"), args, 1, s)
	if !ok {
		return status
	}
	if len(rest) == 0 || rest[0] == "help" {
		fmt.Fprint(s.out, commandList())
		return exitOK
	}
	c, ok := find(rest[0])
	if !ok {
		return unknownCommand(rest[0], s)
	}
	return c.run([]string{"-h"}, s)
}

func find(name string) (subcommand, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c subcommand) bool { return c.name == name })
	if i < 0 {
		return subcommand{}, false
	}
	return all[i], true
}

// unknownCommand says what was probably meant.
func unknownCommand(name string, s streams) int {
	var known []string
	for _, c := range commands() {
		known = append(known, c.name)
	}
	near := otherwise(name)
	if near == "" {
		near = spelling.Nearest(strings.ToLower(name), known, spelling.Tolerance(name))
	}
	switch {
	case name == "stop":
		fmt.Fprintf(s.err, "lb: unknown command %q; SIGTERM ends a running lb, and so does \"systemctl stop lb\"\n", name)
	case strings.HasSuffix(name, ".hcl"):
		fmt.Fprintf(s.err, "lb: unknown command %q; did you mean %q?\n", name, "lb -config "+name)
	case near != "":
		fmt.Fprintf(s.err, "lb: unknown command %q; did you mean %q?\n", name, near)
	default:
		fmt.Fprintf(s.err, "lb: unknown command %q; there are: %s\n", name, strings.Join(known, ", "))
	}
	return exitUsage
}

// otherwise is what other programs call things.
func otherwise(name string) string {
	switch name {
	case "start", "serve":
		return "run"
	case "validate", "configtest", "test":
		return "check"
	case "format":
		return "fmt"
	case "list", "pools", "backends":
		return "status"
	case "enable":
		return "ready"
	case "disable":
		return "maint"
	}
	return ""
}

// newFlags returns the flag set of a command; parse says what is wrong with its flags.
func newFlags(command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	return flags
}

// parse reads flags, which may precede or follow the arguments, and reports whether to go on;
// if not, status is the exit status.
func parse(flags *flag.FlagSet, args []string, most int, s streams) (rest []string, status int, ok bool) {
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				writePage(s.out, flags)
				return nil, exitOK, false
			}
			return nil, misused(flags, flagProblem(flags, err), s), false
		}
		if flags.NArg() == 0 {
			break
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if len(rest) > most {
		return nil, misused(flags, fmt.Sprintf("unexpected argument %q", rest[most]), s), false
	}
	return rest, exitOK, true
}

func misused(flags *flag.FlagSet, problem string, s streams) int {
	fmt.Fprintf(s.err, "lb %s: %s\nsee \"lb help %s\"\n", flags.Name(), problem, flags.Name())
	return exitUsage
}

// flagProblem says what is wrong with a flag, and of an unknown one which was probably meant.
func flagProblem(flags *flag.FlagSet, err error) string {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -") // the package has no type for it
	if !unknown {
		return err.Error()
	}
	var known []string
	flags.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	if _, isCommand := find(name); isCommand && flags.Name() == "run" {
		return fmt.Sprintf("unknown flag %q; did you mean %q?", "-"+name, "lb "+name)
	}
	if near := spelling.Nearest(strings.ToLower(name), known, spelling.Tolerance(name)); near != "" {
		return fmt.Sprintf("unknown flag %q; did you mean %q?", "-"+name, "-"+near)
	}
	return fmt.Sprintf("unknown flag %q", "-"+name)
}

// writePage prints what "lb help" says of the command with these flags.
func writePage(w io.Writer, flags *flag.FlagSet) {
	c, ok := find(flags.Name())
	if !ok || c.about == "" {
		fmt.Fprint(w, commandList())
		return
	}
	fmt.Fprintf(w, "lb %s %s\n\n", c.name, c.about)
	for _, f := range c.forms {
		fmt.Fprintf(w, "  %s\n", f.usage)
	}
	count := 0
	flags.VisitAll(func(*flag.Flag) { count++ })
	if count > 0 {
		fmt.Fprint(w, "\nFlags:\n")
		flags.SetOutput(w)
		flags.PrintDefaults()
	}
	fmt.Fprintf(w, "\nExamples:\n  %s\n\nExit status:\n  0  done\n", strings.ReplaceAll(c.examples, "\n", "\n  "))
	if c.fails != "" {
		fmt.Fprintf(w, "  1  %s\n", c.fails)
	}
	fmt.Fprint(w, "  2  wrong usage\n")
}
