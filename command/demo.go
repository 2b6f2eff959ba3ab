package command

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"text/template"
	"time"

	"lb/clock"
	"lb/config"
	"lb/server"
)

//go:embed demo.hcl
var demoConfig string

// outage is how long the demo's third replica runs, and how long it is then stopped.
const outage = 20 * time.Second

func demoCommand(args []string, s streams) int {
	flags := newFlags("demo")
	listen := flags.String("listen", "127.0.0.1:8080", "the balancer's `address`")
	admin := flags.String("admin", config.DefaultAdmin, "the admin listener's `address`")
	every := flags.Duration("outage", outage, "how long the third replica runs, and how long it is then stopped")
	if _, status, ok := parse(flags, args, 0, s); !ok {
		return status
	}
	if *every <= 0 {
		fmt.Fprintln(s.err, "lb: -outage must be above zero, for example \"20s\"")
		return exitUsage
	}
	if err := demo(*listen, *admin, *every, s); err != nil {
		fmt.Fprintf(s.err, "lb: the demo cannot run: %v\n", err)
		return exitFail
	}
	return exitOK
}

// demo runs three replicas of the clock application and a balancer in front of them.
func demo(listen, admin string, every time.Duration, s streams) error {
	images, err := os.MkdirTemp("", "lb-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(images)
	if err := os.CopyFS(images, clock.Images); err != nil {
		return fmt.Errorf("cannot write the images: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var replicas sync.WaitGroup
	defer replicas.Wait()
	defer cancel()
	var addresses []string
	for i := range 3 {
		r, err := newReplica(fmt.Sprintf("replica-%d", i+1))
		if err != nil {
			return err
		}
		addresses = append(addresses, r.address)
		if i == 2 {
			replicas.Go(func() { r.comeAndGo(ctx, every, s) })
		} else {
			replicas.Go(func() { r.serve(ctx) })
		}
	}
	source, err := demoSource(listen, admin, images, addresses)
	if err != nil {
		return err
	}
	load := func() (*config.Config, config.Diagnostics) {
		return config.Parse([]config.Source{{Name: "demo.hcl", Text: source}})
	}
	started := func(srv *server.Server) {
		fmt.Fprintf(s.out, "\nThis is the complete lb.hcl that the demo runs with:\n\n%s\n", source)
		fmt.Fprintf(s.out, "The page:    http://%s/\nThe picture: http://%s/images/clock.svg\nThe status:  http://%s/\nMetrics:     http://%s/metrics\n",
			srv.Addrs()[0], srv.Addrs()[0], srv.AdminAddr(), srv.AdminAddr())
		fmt.Fprintf(s.out, "\nreplica-3 stops and returns every %s. Ctrl-C ends the demo.\n\n", every)
	}
	if serve(server.Options{Load: load, Source: "demo.hcl", Version: s.versionText()}, s, started) != exitOK {
		return errors.New("see above")
	}
	return nil
}

func demoSource(listen, admin, images string, backends []string) ([]byte, error) {
	t, err := template.New("demo.hcl").Parse(demoConfig)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Listen": listen, "Admin": admin, "Root": filepath.ToSlash(images), "Backends": backends})
	return b.Bytes(), err
}

// replica is one instance of the clock application on a loopback port.
type replica struct {
	name    string
	address string
	ln      net.Listener
}

func newReplica(name string) (*replica, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	return &replica{name: name, address: ln.Addr().String(), ln: ln}, nil
}

// serve serves until ctx ends, and then drops every connection, as a killed process would.
func (r *replica) serve(ctx context.Context) {
	app := &http.Server{Handler: clock.Handler(r.name), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = app.Close() })
	defer stop()
	_ = app.Serve(r.ln)
}

// comeAndGo serves and dies in turn until ctx ends.
func (r *replica) comeAndGo(ctx context.Context, every time.Duration, s streams) {
	for ctx.Err() == nil {
		life, end := context.WithTimeout(ctx, every)
		r.serve(life)
		end()
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
		ln, err := net.Listen("tcp", r.address)
		if err != nil {
			fmt.Fprintf(s.err, "lb: %s cannot restart: %v\n", r.name, err)
			return
		}
		r.ln = ln
	}
}
