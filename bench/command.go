package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// command is another server to measure: a name and the line of the shell that runs it in the foreground.
type command struct{ name, line string }

// parseCommand reads "NAME=LINE".
func parseCommand(text string) (command, error) {
	name, line, _ := strings.Cut(text, "=")
	c := command{strings.TrimSpace(name), strings.TrimSpace(line)}
	if c.name == "" || c.line == "" || strings.ContainsAny(c.name, "/ |") {
		return c, fmt.Errorf("cannot use %q for -subject: want NAME=COMMAND", text)
	}
	if !c.has("{listen}") && !c.has("{port}") {
		return c, fmt.Errorf("cannot use %q for -subject: neither {listen} nor {port} says where it is to listen", text)
	}
	return c, nil
}

func (c command) has(placeholder string) bool { return strings.Contains(c.line, placeholder) }

// commandSubject can what its placeholders say.
func commandSubject(c command) subject {
	s := subject{
		name: c.name,
		command: func(_ string, values settings) (argv, env []string) {
			return []string{"/bin/sh", "-c", "exec " + c.fill(values)}, []string{fmt.Sprintf("GOMAXPROCS=%d", values.Workers)}
		},
	}
	for placeholder, features := range map[string][]feature{
		"{backend}":  {featureProxy},
		"{backends}": {featureProxy, featureManyBackends},
		"{root}":     {featureFiles},
		"{tls}":      {featureTLS},
		"{admin}":    {featureProfile},
	} {
		if c.has(placeholder) {
			s.features = append(s.features, features...)
		}
	}
	return s
}

// fill puts the settings in. The backends are in a file, since so many would not fit into an argument.
func (c command) fill(values settings) string {
	file := filepath.Join(values.Dir, c.name+"-backends")
	if c.has("{backends}") {
		// An error shows when the server cannot read the file.
		_ = os.WriteFile(file, []byte(strings.Join(values.Backends, "\n")+"\n"), 0o644)
	}
	_, port, _ := net.SplitHostPort(values.Address) // The harness has made it.
	return strings.NewReplacer(
		"{listen}", values.Address,
		"{port}", port,
		"{tls}", values.TLSAddress,
		"{admin}", values.Admin,
		"{backend}", values.Backends[0],
		"{backends}", file,
		"{root}", values.Root,
		"{certificate}", values.Certificate,
		"{key}", values.Key,
		"{workers}", strconv.Itoa(values.Workers),
	).Replace(c.line)
}
