package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options is what the command line asks for.
type options struct {
	rounds      int
	duration    time.Duration // of one measurement under load
	scenarios   []scenario
	builds      []build // none: build ./cmd/lb
	peers       []string
	out         string
	workers     int // nginx worker processes, HAProxy threads, GOMAXPROCS of lb
	connections int // kept by the load generator
	rate        int // requests per second in the fixed-rate scenario
	idle        int // connections in the idle scenario
	transfer    int // MB in each direction in the updown scenario
	forwarded   bool
	keep        bool
}

// build is one binary of lb under the name that the report gives it.
type build struct{ name, path string }

func parseOptions(args []string, output io.Writer) (options, error) {
	var o options
	var only, builds, peers string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each balancer is measured")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "length of one measurement under load")
	flags.StringVar(&only, "only", "", "comma-separated scenarios (default all): "+strings.Join(scenarioNames(), ","))
	flags.StringVar(&builds, "lb", "", "PATH of the lb binary, or NAME=PATH,NAME=PATH for several (default: build ./cmd/lb)")
	flags.StringVar(&peers, "peers", "nginx,haproxy", "comma-separated balancers to measure beside lb, or none")
	flags.StringVar(&o.out, "out", filepath.FromSlash("bench/out"), "directory of report.md, results.json and chart.svg")
	flags.IntVar(&o.workers, "cpus", 2, "nginx worker processes, HAProxy threads, GOMAXPROCS of lb")
	flags.IntVar(&o.connections, "connections", 64, "connections that the load generator keeps")
	flags.IntVar(&o.rate, "rate", 8000, "requests per second in the fixed-rate scenario")
	flags.IntVar(&o.idle, "idle", 4000, "connections in the idle scenario")
	flags.IntVar(&o.transfer, "transfer", 200, "MB in each direction in the updown scenario")
	flags.BoolVar(&o.forwarded, "forwarded", true, "let the peers send X-Forwarded-* to the backend, as lb always does")
	flags.BoolVar(&o.keep, "keep", false, "keep the generated configurations and the logs")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if min(o.rounds, o.workers, o.connections, o.rate, o.idle, o.transfer) < 1 || o.duration <= 0 {
		return options{}, errors.New("rounds, duration, cpus, connections, rate, idle and transfer must be above zero")
	}
	var err error
	if o.scenarios, err = chooseScenarios(only); err != nil {
		return options{}, err
	}
	if o.peers, err = choosePeers(peers); err != nil {
		return options{}, err
	}
	o.builds, err = parseBuilds(builds)
	return o, err
}

func chooseScenarios(only string) ([]scenario, error) {
	if only == "" {
		return allScenarios(), nil
	}
	var chosen []scenario
	wanted := splitList(only)
	for _, s := range allScenarios() {
		if slices.Contains(wanted, s.name) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range wanted {
		if !slices.Contains(scenarioNames(), name) {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	return chosen, nil
}

func choosePeers(list string) ([]string, error) {
	names := splitList(list)
	if len(names) == 1 && names[0] == "none" {
		return nil, nil
	}
	for _, name := range names {
		if name != "nginx" && name != "haproxy" {
			return nil, fmt.Errorf("no peer %q; there are nginx and haproxy", name)
		}
	}
	return names, nil
}

// parseBuilds reads "PATH" or "NAME=PATH,NAME=PATH". A path with "=" or "," in it needs another name.
func parseBuilds(list string) ([]build, error) {
	var builds []build
	for _, item := range splitList(list) {
		name, path, named := strings.Cut(item, "=")
		if !named {
			name, path = "lb", item
		}
		if name == "nginx" || name == "haproxy" || name == "" || path == "" {
			return nil, fmt.Errorf("cannot use %q for -lb: want PATH or NAME=PATH", item)
		}
		if slices.ContainsFunc(builds, func(b build) bool { return b.name == name }) {
			return nil, fmt.Errorf("two binaries of lb are called %q: want NAME=PATH,NAME=PATH", name)
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("cannot resolve %q: %w", path, err)
		}
		builds = append(builds, build{name, absolute})
	}
	return builds, nil
}

// splitList drops blanks and empty items; "" is no item at all.
func splitList(list string) []string {
	var items []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func (o options) describe() string {
	headers := "the peers send X-Forwarded-* as lb does"
	if !o.forwarded {
		headers = "the peers send no X-Forwarded-*"
	}
	return fmt.Sprintf("%d rounds of %v, %d kept connections, %d workers or threads each, %s",
		o.rounds, o.duration, o.connections, o.workers, headers)
}
