package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"lb/balancer"
	"lb/config"
	"lb/server"
)

// configPaths are looked for in this order where -config is not given.
var configPaths = []string{"lb.hcl", "/etc/lb/lb.hcl"}

func configFlag(flags *flag.FlagSet) *string {
	return flags.String("config", "", "the configuration: a `file`, or a directory of *.hcl files (default ./lb.hcl, then /etc/lb/lb.hcl)")
}

// findConfig returns the path to read, and an error that helps if there is none.
func findConfig(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	for _, p := range configPaths {
		if _, err := os.Stat(p); !errors.Is(err, os.ErrNotExist) {
			return p, nil // if it cannot be read, its reader says why
		}
	}
	return "", fmt.Errorf("there is no configuration: neither %s exists.\n"+
		"Name one with -config FILE, try lb with \"lb demo\", or run it without a file:\n"+
		"  lb -listen :8080 -to 127.0.0.1:5000", strings.Join(configPaths, " nor "))
}

func runCommand(args []string, s streams) int {
	flags := newFlags("run")
	path := configFlag(flags)
	listen := flags.String("listen", "", "without a file: the `address` to listen on, for example \":8080\"")
	to := flags.String("to", "", "without a file: the backends' `addresses`, for example \"127.0.0.1:5000,127.0.0.1:5001\"")
	static := flags.String("static", "", "without a file: a `directory` that is served under /static/")
	balance := flags.String("balance", "", "without a file: the `algorithm`, one of "+strings.Join(balancer.Names(), ", "))
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	if *listen+*to+*static+*balance != "" {
		if *path != "" {
			fmt.Fprintln(s.err, "lb: -config cannot be combined with -listen and -to; the flags are for running without a file")
			return exitUsage
		}
		if *to == "" || *listen == "" {
			fmt.Fprintln(s.err, "lb: -listen and -to must be used together: lb -listen :8080 -to 127.0.0.1:5000")
			return exitUsage
		}
		quick := config.Flags{Listen: *listen, To: strings.Split(*to, ","), Static: *static, Balance: *balance}
		return serve(server.Options{
			Load:    func() (*config.Config, config.Diagnostics) { return config.FromFlags(quick) },
			Version: s.versionText(), Command: ownCommand(),
		}, s, nil)
	}
	file, err := findConfig(*path)
	if err != nil {
		fmt.Fprintf(s.err, "lb: %v\n", err)
		return exitFail
	}
	return serve(server.Options{
		Load:   func() (*config.Config, config.Diagnostics) { return config.Load(file, s.extensions...) },
		Source: file, Version: s.versionText(), Command: ownCommand(),
	}, s, nil)
}

// ownCommand is how this process was started, with the program as it is named now: later its file may
// have been replaced.
func ownCommand() []string {
	program, err := os.Executable()
	if err != nil {
		return nil
	}
	return append([]string{program}, os.Args[1:]...)
}

// serve runs a balancer until a signal ends it. started, if not nil, is called once it serves.
func serve(opt server.Options, s streams, started func(*server.Server)) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	signal.Ignore(syscall.SIGPIPE) // a log reader that exits must not end the balancer
	opt.StandardLog = log.Default()
	srv := server.New(opt)
	if err := srv.Start(); err != nil {
		printStartError(err, s)
		return exitFail
	}
	if started != nil {
		started(srv)
	}
	handedOver := make(chan bool, 8)
	for {
		var sig os.Signal
		select {
		case sig = <-signals:
		case replaced := <-handedOver:
			if replaced {
				return stop(srv, signals, s)
			}
			continue
		}
		switch sig {
		case syscall.SIGHUP:
			go func() { _, _ = srv.Reload(context.Background()) }() // it logs its result, and may wait for a HandOver
		case syscall.SIGUSR1:
			srv.Reopen()
		case syscall.SIGUSR2:
			go func() { handedOver <- srv.HandOver(context.Background()) == nil }() // it logs its result
		default:
			return stop(srv, signals, s)
		}
	}
}

// stop drains; a second signal ends the process at once.
func stop(srv *server.Server, signals <-chan os.Signal, s streams) int {
	done := make(chan error, 1)
	go func() { done <- srv.Stop(context.Background()) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				fmt.Fprintf(s.err, "lb: %v\n", err)
				return exitFail
			}
			return exitOK
		case sig := <-signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				fmt.Fprintln(s.err, "lb: second signal: exiting at once")
				return exitFail
			}
		}
	}
}

func printStartError(err error, s streams) {
	var diagnosed *server.Diagnosed
	if errors.As(err, &diagnosed) {
		_ = diagnosed.Diagnostics.WriteText(s.err)
		fmt.Fprintln(s.err, "lb: not started, the configuration has errors")
		return
	}
	fmt.Fprintf(s.err, "lb: not started: %v\n", err)
}
