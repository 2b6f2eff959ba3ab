// Package command is the lb command. Builds of one's own call Main too, with what they extend lb by.
package command

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"lb/config"
	"lb/filter"
)

// The exit statuses.
const (
	exitOK    = 0
	exitFail  = 1 // could not start, or the check found errors
	exitUsage = 2
)

// streams are what a command talks to, and what the build is.
type streams struct {
	out, err   io.Writer
	version    string // of the release; "" or "dev": none
	extensions []config.Option
}

// Main runs the command line of this process, and exits. version is that of the release, or "" for that of the source. Each of the
// extensions is a block that routes can have.
func Main(version string, extensions ...filter.Extension) {
	s := streams{out: os.Stdout, err: os.Stderr, version: version}
	if len(extensions) > 0 {
		s.extensions = []config.Option{config.WithExtensions(extensions...)}
	}
	os.Exit(command(os.Args[1:], s))
}

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
	fmt.Fprintf(s.out, "lb %s %s %s/%s\n", s.versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}

// versionText is the release, or the commit that this was built from.
func (s *streams) versionText() string {
	if s.version != "" && s.version != "dev" {
		return s.version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
				return "dev-" + setting.Value[:12]
			}
		}
	}
	return "dev"
}
