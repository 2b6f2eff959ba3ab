package telemetry

import (
	"fmt"
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/mattn/go-isatty"
)

// LogOptions are the settings of the operations log. The zero value is the default.
type LogOptions struct {
	Level  string // trace, debug, info, warn, error or off; "" is info
	Format string // text or json; "" is text
	File   string // "-" or "" is stderr
}

// Log is the operations log: starts, reloads, changes of state, errors. Its events are rare; requests do not write to
// it normally.
type Log struct {
	hclog.Logger
	out *logOutput
}

// NewLogger opens the operations log. Text on a terminal has its level coloured, unless NO_COLOR is set.
func NewLogger(o LogOptions) (*Log, error) {
	level := hclog.Info
	if o.Level != "" {
		if level = hclog.LevelFromString(o.Level); level == hclog.NoLevel {
			return nil, fmt.Errorf("cannot log at level %q: it must be trace, debug, info, warn, error or off", o.Level)
		}
	}
	if o.Format != "" && o.Format != "text" && o.Format != "json" {
		return nil, fmt.Errorf("cannot log in format %q: it must be text or json", o.Format)
	}
	out := &logOutput{file: os.Stderr}
	if o.File != "" && o.File != "-" {
		f, err := openLog(o.File)
		if err != nil {
			return nil, err
		}
		out.file, out.path = f, o.File
	}
	options := &hclog.LoggerOptions{
		Name:       "lb",
		Level:      level,
		Output:     out,
		JSONFormat: o.Format == "json",
		TimeFormat: "2006-01-02T15:04:05.000Z07:00",
	}
	if out.path == "" && isatty.IsTerminal(os.Stderr.Fd()) && os.Getenv("NO_COLOR") == "" {
		options.Color = hclog.ForceColor
		options.ColorHeaderOnly = true
	}
	return &Log{hclog.New(options), out}, nil
}

// Reopen opens the file by its name again, for rotation by rename. On an error the old file stays in use.
func (l *Log) Reopen() error { return l.out.reopen() }

// Close closes the file, if there is one; what is logged later goes to stderr.
func (l *Log) Close() error { return l.out.close() }

// logOutput is a file that can be replaced while it is written to.
type logOutput struct {
	mu   sync.Mutex
	file *os.File
	path string // "" for stderr
}

func (o *logOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.file.Write(p)
}

func (o *logOutput) reopen() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.path == "" {
		return nil
	}
	f, err := openLog(o.path)
	if err != nil {
		return err
	}
	o.file.Close() // every line has been written; there is nothing to lose
	o.file = f
	return nil
}

func (o *logOutput) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.path == "" {
		return nil
	}
	err := o.file.Close()
	o.file, o.path = os.Stderr, ""
	return err
}
