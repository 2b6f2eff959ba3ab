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

// feature is what a scenario asks of a balancer.
type feature string

const (
	featureProxy     feature = "proxying"
	featureFiles     feature = "static files"
	featureTLS       feature = "TLS with static files"
	featureAccessLog feature = "an access log file"
)

// subject is one balancer under test.
type subject struct {
	name     string
	template string
	program  string // path of the binary
	features []feature
	// command returns the arguments and the extra environment to run it in the foreground.
	command func(configuration string) (argv, env []string)
	version []string // arguments that print the version
}

// settings is what the templates of the configurations are filled with.
type settings struct {
	Dir         string
	User        string // nginx's workers give up root; empty unless we are root
	Address     string
	TLSAddress  string // empty: no TLS listener
	Certificate string
	Key         string
	Root        string
	Backend     string
	AccessLog   string // path; empty: none
	Body        string // of the backend's answer
	Workers     int
	Connections int // a bound that no scenario reaches
	Descriptors uint64
	Forwarded   bool
	NoDelay     bool // pieces of bodies are passed on at once
}

func lbSubject(name, program string, workers int) subject {
	return subject{
		name:     name,
		template: "lb.hcl.tmpl",
		program:  program,
		features: []feature{featureProxy, featureFiles, featureTLS, featureAccessLog},
		command: func(configuration string) (argv, env []string) {
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
		features: []feature{featureProxy, featureFiles, featureTLS, featureAccessLog},
		command: func(configuration string) (argv, env []string) {
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
		features: []feature{featureProxy},
		command: func(configuration string) (argv, env []string) {
			return []string{program, "-db", "-f", configuration}, nil
		},
		version: []string{"-v"},
	}
}

// nginxCommand keeps nginx's hands off the paths that were compiled in: before it reads the configuration
// it would open its default error log.
func nginxCommand(program, configuration string) []string {
	return []string{program, "-e", "stderr", "-p", filepath.Dir(configuration), "-c", configuration}
}

func (s subject) can(f feature) bool { return slices.Contains(s.features, f) }

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
	makePeer := map[string]func(string) subject{"nginx": nginxSubject, "haproxy": haproxySubject}
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

// running is a balancer, or the backend, that answers requests.
type running struct {
	subject subject
	process *process
	address string
	tls     string
}

// start writes the configuration below s.Dir, starts the balancer and waits until it answers.
func (s subject) start(ctx context.Context, f *fleet, values settings) (*running, error) {
	configuration := filepath.Join(values.Dir, s.name+".conf")
	if s.template == "lb.hcl.tmpl" {
		configuration = filepath.Join(values.Dir, s.name+".hcl")
	}
	if err := writeConfiguration(configuration, s.template, values); err != nil {
		return nil, err
	}
	argv, env := s.command(configuration)
	p, err := f.start(s.name, env, argv...)
	if err != nil {
		return nil, err
	}
	if err := p.waitReady(ctx, "http://"+values.Address+"/"); err != nil {
		f.stop(p)
		return nil, err
	}
	return &running{subject: s, process: p, address: values.Address, tls: values.TLSAddress}, nil
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

// commonSettings are those that do not depend on the scenario.
func commonSettings(o options, f fixtures, dir string) (settings, error) {
	values := settings{
		Dir:         dir,
		Certificate: f.certificate,
		Key:         f.key,
		Root:        f.root,
		Body:        bodyText(1 << 10),
		Workers:     o.workers,
		Connections: o.idle + 2*o.connections + 1024,
		Forwarded:   o.forwarded,
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return values, fmt.Errorf("cannot read the limit of file descriptors: %w", err)
	}
	values.Descriptors = limit.Max
	if os.Geteuid() == 0 {
		current, err := user.Current()
		if err != nil {
			return values, fmt.Errorf("cannot tell who runs this: %w", err)
		}
		values.User = current.Username
	}
	return values, nil
}
