// Command lb is an HTTP load balancer: one process in front of web applications.
//
//	lb -config lb.hcl
package main

import (
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
	c, ok := find(name)
	if !ok {
		return unknownCommand(name, s)
	}
	return c.run(args, s)
}

func versionCommand(args []string, s streams) int {
	if _, status, ok := parse(newFlags("version"), args, 0, s); !ok {
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
