// Command clock runs one replica of the clock application.
//
//	clock -listen 127.0.0.1:5000 -name clock-1
//	clock -healthcheck http://127.0.0.1:5000/healthz
//
// The second form sends a request to a running replica and exits 0 if it responds with 200, 1
// otherwise: a container image made from scratch has no curl to do so.
//
// SIGTERM or SIGINT ends it: /healthz responds with 503 at once, everything else is
// served for the time that -drain gives, then no new connection is accepted and
// the requests in flight are completed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"lb/clock"
)

// Bounds that need no flags.
const (
	headerTimeout      = 10 * time.Second // a whole request head
	idleTimeout        = 75 * time.Second // well above a balancer's 4 s, so that the balancer closes first
	shutdownTimeout    = 10 * time.Second // for the requests in flight at the end
	healthcheckTimeout = 2 * time.Second
)

type options struct {
	listen      string
	name        string
	drain       time.Duration
	healthcheck string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stderr)
	stop()
	os.Exit(status)
}

// run is the program without its process. It returns the exit status: 0 clean,
// 1 could not serve or unhealthy, 2 wrong usage.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if opt.healthcheck != "" {
		err = healthcheck(ctx, opt.healthcheck)
	} else {
		err = serve(ctx, opt, clock.Handler(opt.name), stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "clock:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var opt options
	flags := flag.NewFlagSet("clock", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opt.listen, "listen", "0.0.0.0:5000", "`address` to serve on")
	flags.StringVar(&opt.name, "name", "", "what this replica calls itself (default: the host name)")
	flags.DurationVar(&opt.drain, "drain", 0, "after SIGTERM, serve this long with /healthz failing, so that a balancer leaves first")
	flags.StringVar(&opt.healthcheck, "healthcheck", "", "ask this `URL` instead of serving; exit 0 if it responds with 200")
	if err := flags.Parse(args); err != nil {
		return opt, err
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "clock: unexpected argument %q\n", flags.Arg(0))
		return opt, errors.New("unexpected argument")
	}
	if opt.name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "clock"
		}
		opt.name = host
	}
	return opt, nil
}

// serve serves handler until ctx ends, then drains and returns nil.
func serve(ctx context.Context, opt options, handler http.Handler, stderr io.Writer) error {
	listener, err := net.Listen("tcp", opt.listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	var draining atomic.Bool
	server := &http.Server{
		Handler:           failHealthWhile(&draining, handler),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Fprintf(stderr, "clock %s serves http://%s\n", opt.name, listener.Addr())

	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	draining.Store(true)
	time.Sleep(opt.drain)
	late, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err = server.Shutdown(late)
	<-failed // Serve has returned
	if err != nil {
		server.Close()
		return fmt.Errorf("cannot finish the last requests in %v: %w", shutdownTimeout, err)
	}
	return nil
}

// failHealthWhile responds to /healthz with 503 while draining holds.
func failHealthWhile(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() && r.URL.Path == "/healthz" {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// healthcheck returns nil if url responds with 200 in time.
func healthcheck(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthcheckTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("cannot ask %q: %w", url, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot ask %q: %w", url, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%q responded with %s", url, resp.Status)
	}
	return nil
}
