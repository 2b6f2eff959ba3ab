package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"syscall"
	"text/template"
)

//go:embed peers/*.tmpl
var templates embed.FS

// feature is a requirement of a scenario.
type feature string

const (
	featureProxy        feature = "proxying"
	featureManyBackends feature = "many backends"
	featureFiles        feature = "static files"
	featureTLS          feature = "TLS"
	featureAccessLog    feature = "an access log file"
	featureProfile      feature = "a CPU profile of itself"
	featureHTTP2        feature = "HTTP/2"
	featureHTTP3        feature = "HTTP/3"
	featureGRPC         feature = "gRPC"
	featureCompress     feature = "compression"
	featureStore        feature = "stored responses"
)

// subject is one balancer under test.
type subject struct {
	name     string
	template string // of the configuration; empty: none
	program  string // path of the binary
	features []feature
	// command returns the arguments and the extra environment to run it in the foreground.
	command func(configuration string, values settings) (argv, env []string)
	version []string // arguments that print the version; none: it does not say
}

// settings is what the templates of the configurations are filled with.
type settings struct {
	Dir         string
	Name        string // of the subject, for the files that it must not share with another
	User        string // nginx's workers give up root; empty unless we are root
	Address     string
	TLSAddress  string // empty: no TLS listener
	Admin       string // empty: no admin listener
	Certificate string
	Key         string
	Bundle      string // certificate and key
	Root        string
	Backends    []string
	Keepalive   int      // connections to all backends that nginx keeps in each worker
	Listen      []string // addresses of the backend, when it is what is started
	AccessLog   string   // path; empty: none
	Body        string   // of the backend's response
	Workers     int
	Kept        bool // many connections are kept, more than a balancer may allow by itself where descriptors are few
	Clients     int  // a bound of the clients' connections that no scenario reaches
	Connections int  // the same of those on both sides
	Descriptors uint64
	Forwarded   bool
	NoDelay     bool // pieces of bodies are passed on at once
	HTTP3       bool // the TLS listener serves HTTP/3 too
	GRPC        bool // the backends are gRPC servers
	Content     bool // responses are compressed below /packed/ and stored below /stored/
	Level       int  // of gzip
	NginxLevel  int  // the level at which nginx's responses are as long
}

// setBackends names what is proxied to. nginx's documentation advises a cache of connections that is small compared with what
// a backend can take, and large enough to keep one to each.
func (s *settings) setBackends(addresses []string) {
	s.Backends = addresses
	s.Keepalive = max(256, len(addresses))
}

func lbSubject(name, program string, workers int) subject {
	return subject{
		name:     name,
		template: "lb.hcl.tmpl",
		program:  program,
		features: []feature{
			featureProxy, featureManyBackends, featureFiles, featureTLS, featureAccessLog, featureProfile,
			featureHTTP2, featureHTTP3, featureGRPC, featureCompress, featureStore,
		},
		command: func(configuration string, _ settings) (argv, env []string) {
			return []string{program, "-config", configuration}, []string{fmt.Sprintf("GOMAXPROCS=%d", workers)}
		},
		version: []string{"version"},
	}
}

func nginxSubject(program string) subject {
	return subject{
		name:     "nginx",
		template: "nginx.conf.tmpl",
		program:  program,
		features: []feature{
			featureProxy, featureManyBackends, featureFiles, featureTLS, featureAccessLog, featureHTTP2, featureGRPC, featureCompress, featureStore,
		},
		command: func(configuration string, _ settings) (argv, env []string) {
			return nginxCommand(program, configuration), nil
		},
		version: []string{"-v"},
	}
}

// haproxySubject serves no files, and it logs to syslog only.
func haproxySubject(program string) subject {
	return subject{
		name:     "haproxy",
		template: "haproxy.cfg.tmpl",
		program:  program,
		features: []feature{featureProxy, featureManyBackends, featureTLS, featureHTTP2, featureGRPC},
		command: func(configuration string, _ settings) (argv, env []string) {
			return []string{program, "-db", "-f", configuration}, nil
		},
		version: []string{"-v"},
	}
}

// caddySubject stores no responses.
func caddySubject(program string) subject {
	return subject{
		name:     "caddy",
		template: "caddy.Caddyfile.tmpl",
		program:  program,
		features: []feature{featureProxy, featureManyBackends, featureFiles, featureTLS, featureHTTP2, featureHTTP3, featureGRPC, featureCompress},
		command: func(configuration string, values settings) (argv, env []string) {
			return []string{program, "run", "--adapter", "caddyfile", "--config", configuration},
				[]string{fmt.Sprintf("GOMAXPROCS=%d", values.Workers), "HOME=" + values.Dir, "XDG_DATA_HOME=" + values.Dir, "XDG_CONFIG_HOME=" + values.Dir}
		},
		version: []string{"version"},
	}
}

// nginxCommand keeps nginx's hands off the paths that were compiled in: before it reads the configuration
// it would open its default error log.
func nginxCommand(program, configuration string) []string {
	return []string{program, "-e", "stderr", "-p", filepath.Dir(configuration), "-c", configuration}
}

// backendSubject is what the balancers proxy to.
func backendSubject(program, name string) subject {
	return subject{
		name:     name,
		template: "backend.conf.tmpl",
		command: func(configuration string, _ settings) (argv, env []string) {
			return nginxCommand(program, configuration), nil
		},
	}
}

// can is whether the balancer has everything that a scenario needs.
func (s subject) can(need []feature) bool {
	return !slices.ContainsFunc(need, func(f feature) bool { return !slices.Contains(s.features, f) })
}

// findSubjects returns the balancers that can be measured, lb first, and a note for each that cannot.
func findSubjects(ctx context.Context, o options, dir string) (subjects []subject, notes []string) {
	builds := o.builds
	if len(builds) == 0 {
		path, err := buildLB(ctx, dir)
		if err != nil {
			notes = append(notes, fmt.Sprintf("lb is left out: %v", err))
		} else {
			builds = []build{{"lb", path}}
		}
	}
	for _, b := range builds {
		if info, err := os.Stat(b.path); err != nil || info.IsDir() {
			notes = append(notes, fmt.Sprintf("%s is left out, there is no file %s", b.name, b.path))
			continue
		}
		subjects = append(subjects, lbSubject(b.name, b.path, o.workers))
	}
	for _, c := range o.commands {
		subjects = append(subjects, commandSubject(c))
	}
	makePeer := map[string]func(string) subject{"nginx": nginxSubject, "haproxy": haproxySubject, "caddy": caddySubject}
	for _, name := range o.peers {
		path, err := findProgram(name)
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s is left out, it is not installed", name))
			continue
		}
		subjects = append(subjects, makePeer[name](path))
	}
	return subjects, notes
}

// buildLB compiles lb from the module that the harness was started in.
func buildLB(ctx context.Context, dir string) (path string, err error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("cannot find the module: %w", err)
	}
	path = filepath.Join(dir, "lb")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/lb")
	build.Dir = filepath.Dir(firstLine(module))
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build it: %w: %s", err, oneLine(output))
	}
	return path, nil
}

// running is a balancer, or the backend, that serves requests.
type running struct {
	subject subject
	process *process
	address string
	tls     string
	admin   string
}

// start writes the configuration below values.Dir, starts the balancer and waits until it gives the right response to the
// scenario's request.
func (s subject) start(ctx context.Context, f *fleet, values settings, asked scenario) (*running, error) {
	configuration := filepath.Join(values.Dir, s.name+".conf")
	if s.template == "lb.hcl.tmpl" {
		configuration = filepath.Join(values.Dir, s.name+".hcl")
	}
	values.Name = s.name
	if s.template != "" {
		if err := writeConfiguration(configuration, s.template, values); err != nil {
			return nil, err
		}
	}
	argv, env := s.command(configuration, values)
	p, err := f.start(s.name, env, argv...)
	if err != nil {
		return nil, err
	}
	r := &running{subject: s, process: p, address: values.Address, tls: values.TLSAddress, admin: values.Admin}
	if err := p.waitReady(ctx, asked.checked(r)); err != nil {
		f.stop(p)
		return nil, err
	}
	return r, nil
}

func writeConfiguration(path, templateName string, values settings) error {
	t, err := template.ParseFS(templates, "peers/"+templateName)
	if err != nil {
		return fmt.Errorf("cannot parse %q: %w", templateName, err)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot write a configuration: %w", err)
	}
	if err := t.Execute(file, values); err != nil {
		file.Close()
		return fmt.Errorf("cannot fill in %q: %w", templateName, err)
	}
	return file.Close()
}

// raiseDescriptors raises the limit of descriptors, for what is started too, as far as it may.
func raiseDescriptors(need int) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return // commonSettings says why.
	}
	wanted := syscall.Rlimit{Cur: max(limit.Cur, uint64(need)), Max: max(limit.Max, uint64(need))}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wanted) != nil {
		// Only root may raise the hard limit.
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit.Max, Max: limit.Max})
	}
}

// commonSettings are those that do not depend on the scenario.
func commonSettings(o options, f fixtures, dir string) (settings, error) {
	values := settings{
		Dir:         dir,
		Certificate: f.certificate,
		Key:         f.key,
		Bundle:      f.bundle,
		Root:        f.root,
		Body:        bodyText(1 << 10),
		Workers:     o.workers,
		Clients:     1024,
		Connections: 1024,
		Forwarded:   o.forwarded,
		Level:       gzipLevel,
		NginxLevel:  nginxGzipLevel,
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return values, fmt.Errorf("cannot read the limit of file descriptors: %w", err)
	}
	values.Descriptors = limit.Max
	if os.Geteuid() == 0 {
		current, err := user.Current()
		if err != nil {
			return values, fmt.Errorf("cannot determine the current user: %w", err)
		}
		values.User = current.Username
	}
	return values, nil
}
