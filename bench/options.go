package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are those of the command line.
type options struct {
	rounds      int
	duration    time.Duration // of one measurement under load
	scenarios   []scenario
	builds      []build // none: build ./cmd/lb
	commands    []command
	peers       []string
	out         string
	workers     int   // nginx worker processes, HAProxy threads, GOMAXPROCS of lb
	connections int   // kept by the load generator
	rates       []int // requests per second in the scenarios of a fixed rate
	idle        []int // connections in the idle scenarios
	backends    []int // in the variants of the backends scenario; the first is what the others are compared with
	transfer    int   // MB in each direction in the updown scenario
	forwarded   bool
	keep        bool
	// Not to be set by arguments; tests are shorter.
	warmUp time.Duration // of load on a balancer before its first measurement
	quiet  time.Duration // how long the memory must not change to count as settled
	moment time.Duration // how long after the last response idle connections are weighed; six times as long later
}

// build is one binary of lb under the name that the report gives it.
type build struct{ name, path string }

func parseOptions(args []string, output io.Writer) (options, error) {
	o := options{warmUp: time.Second, quiet: 10 * time.Second, moment: time.Second}
	var only, builds, peers, rates, idle, backends string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each balancer is measured")
	flags.DurationVar(&o.duration, "duration", 5*time.Second, "length of one measurement under load")
	flags.StringVar(&only, "only", "", "comma-separated scenarios or groups of them, as in bench/README.md (default all)")
	flags.StringVar(&builds, "lb", "", "PATH of the lb binary, or NAME=PATH,NAME=PATH for several (default: build ./cmd/lb)")
	flags.StringVar(&peers, "peers", "nginx,haproxy,caddy", "comma-separated balancers to measure beside lb, or none")
	flags.StringVar(&o.out, "out", filepath.FromSlash("bench/out"), "directory of report.md, results.json and chart.svg")
	flags.IntVar(&o.workers, "cpus", 2, "nginx worker processes, HAProxy threads, GOMAXPROCS of lb and Caddy")
	flags.IntVar(&o.connections, "connections", 64, "connections that the load generator keeps")
	flags.StringVar(&rates, "rate", "2000,4000,8000", "requests per second in the scenarios of a fixed rate, one each")
	flags.StringVar(&idle, "idle", "1000,10000", "connections in the idle scenarios, one each")
	flags.StringVar(&backends, "backends", "10,1000,10000", "numbers of backends to compare")
	flags.Func("subject", "another server to measure, NAME=COMMAND with placeholders as in bench/README.md; repeatable", func(text string) error {
		c, err := parseCommand(text)
		o.commands = append(o.commands, c)
		return err
	})
	flags.IntVar(&o.transfer, "transfer", 200, "MB in each direction in the updown scenario")
	flags.BoolVar(&o.forwarded, "forwarded", true, "let the peers send X-Forwarded-* to the backend, as lb always does")
	flags.BoolVar(&o.keep, "keep", false, "keep the generated configurations and the logs")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if min(o.rounds, o.workers, o.connections, o.transfer) < 1 || o.duration <= 0 {
		return options{}, errors.New("rounds, duration, cpus, connections and transfer must be above zero")
	}
	for _, list := range []struct {
		name, text string
		numbers    *[]int
	}{{"rate", rates, &o.rates}, {"idle", idle, &o.idle}, {"backends", backends, &o.backends}} {
		var err error
		if *list.numbers, err = parseNumbers(list.text); err != nil {
			return options{}, fmt.Errorf("cannot use %q for -%s: %w", list.text, list.name, err)
		}
	}
	var err error
	if o.scenarios, err = chooseScenarios(only, allScenarios(o)); err != nil {
		return options{}, err
	}
	if o.peers, err = choosePeers(peers); err != nil {
		return options{}, err
	}
	if o.builds, err = parseBuilds(builds); err != nil {
		return options{}, err
	}
	return o, o.checkNames()
}

// parseNumbers reads different whole numbers above zero, at least one.
func parseNumbers(list string) ([]int, error) {
	var numbers []int
	for _, item := range splitList(list) {
		n, err := strconv.Atoi(item)
		if err != nil || n < 1 || slices.Contains(numbers, n) {
			return nil, errors.New("want different whole numbers above zero, with commas between them")
		}
		numbers = append(numbers, n)
	}
	if len(numbers) == 0 {
		return nil, errors.New("want a number")
	}
	return numbers, nil
}

// checkNames refuses two subjects of one name.
func (o options) checkNames() error {
	names := append(peerNames(), "lb")
	for _, b := range o.builds {
		names = append(names, b.name)
	}
	for _, c := range o.commands {
		if slices.Contains(names, c.name) {
			return fmt.Errorf("two balancers are called %q", c.name)
		}
		names = append(names, c.name)
	}
	return nil
}

// chooseScenarios picks by the names of scenarios and groups, in the order of all.
func chooseScenarios(only string, all []scenario) ([]scenario, error) {
	if only == "" {
		return all, nil
	}
	wanted := splitList(only)
	for _, name := range wanted {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.named(name) }) {
			return nil, fmt.Errorf("no scenario or group %q; there are the groups %s and the scenarios %s",
				name, strings.Join(groupNames(all), ", "), strings.Join(scenarioNames(all), ", "))
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.ContainsFunc(wanted, s.named) }), nil
}

// descriptors is how many one program may have open at a time at least.
func (o options) descriptors() int {
	most := 0
	for _, s := range o.scenarios {
		most = max(most, s.kept+2*s.clients(o)+s.backends+2048)
	}
	return most
}

func choosePeers(list string) ([]string, error) {
	names := splitList(list)
	if len(names) == 1 && names[0] == "none" {
		return nil, nil
	}
	for _, name := range names {
		if !isPeer(name) {
			return nil, fmt.Errorf("no peer %q; there are %s", name, strings.Join(peerNames(), ", "))
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
		if isPeer(name) || name == "" || path == "" {
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
