// Command lb is an HTTP load balancer: one process in front of web applications.
//
//	lb -config lb.hcl
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// The exit statuses.
const (
	exitOK    = 0
	exitFail  = 1 // could not start, or the check found errors
	exitUsage = 2
)

// version is set when a release is built.
var version = "dev"

const usage = `lb is an HTTP load balancer.

  lb -config lb.hcl                      run (the same as: lb run -config lb.hcl)
  lb -listen :8080 -to HOST:PORT,… [-static DIR] [-balance least_conn]
                                         run without a file
  lb demo                                see it work: three replicas of a small application
  lb check  -config lb.hcl               validate the configuration
  lb fmt    lb.hcl                       rewrite it in canonical style
  lb status                              the pools of the running balancer
  lb top                                 the same live, with rates; -n N prints N tables
  lb drain|maint|ready POOL/BACKEND      set a backend's admin state
  lb explain URL                         what a request meets: site, route, pool, backends, and why
  lb weight POOL/BACKEND N               set its weight; 0 for the configured one
  lb reload                              reload the running balancer's configuration
  lb version

-config defaults to ./lb.hcl, then /etc/lb/lb.hcl. Commands that talk to a running balancer take
-admin ADDR (default 127.0.0.1:9900) and -token TOKEN. "lb COMMAND -h" tells more.
`

// streams are what a command talks to.
type streams struct{ out, err io.Writer }

func main() { os.Exit(command(os.Args[1:], streams{os.Stdout, os.Stderr})) }

// command runs one command line and returns its exit status.
func command(args []string, s streams) int {
	name := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	} else if len(args) > 0 {
		switch args[0] {
		case "-h", "-help", "--help":
			name, args = "help", args[1:]
		case "-version", "--version":
			name, args = "version", args[1:]
		}
	}
	switch name {
	case "run":
		return runCommand(args, s)
	case "check":
		return checkCommand(args, s)
	case "fmt":
		return fmtCommand(args, s)
	case "demo":
		return demoCommand(args, s)
	case "status":
		return statusCommand(args, s)
	case "drain", "maint", "ready":
		return stateCommand(name, args, s)
	case "weight":
		return weightCommand(args, s)
	case "reload":
		return reloadCommand(args, s)
	case "version":
		return versionCommand(args, s)
	case "help":
		fmt.Fprint(s.out, usage)
		return exitOK
	case "explain":
		return explainCommand(args, s)
	case "top":
		return topCommand(args, s)
	}
	fmt.Fprintf(s.err, "lb: there is no command %q\n\n%s", name, usage)
	return exitUsage
}

func versionCommand(args []string, s streams) int {
	if _, status, ok := parse(newFlags("version", s), args, 0); !ok {
		return status
	}
	fmt.Fprintf(s.out, "lb %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}

// versionText is the release, or the commit that this was built from.
func versionText() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
				return "dev-" + setting.Value[:12]
			}
		}
	}
	return version
}

// newFlags returns a flag set that reports errors instead of exiting.
func newFlags(name string, s streams) *flag.FlagSet {
	flags := flag.NewFlagSet("lb "+name, flag.ContinueOnError)
	flags.SetOutput(s.err)
	return flags
}

// parse reads flags, which may stand before and behind the arguments, and reports whether to go on;
// if not, status is the exit status.
func parse(flags *flag.FlagSet, args []string, most int) (rest []string, status int, ok bool) {
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, exitOK, false
			}
			return nil, exitUsage, false
		}
		if flags.NArg() == 0 {
			break
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if len(rest) > most {
		fmt.Fprintf(flags.Output(), "%s: unexpected argument %q\n", flags.Name(), rest[most])
		flags.Usage()
		return nil, exitUsage, false
	}
	return rest, exitOK, true
}
