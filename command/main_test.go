package command

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"lb/admin"
)

// run returns the exit status and the output of a command line.
func run(args ...string) (status int, out, err string) {
	var o, e bytes.Buffer
	status = command(args, streams{out: &o, err: &e})
	return status, o.String(), e.String()
}

// TestSurplusArguments: each command rejects surplus arguments.
func TestSurplusArguments(t *testing.T) {
	for _, line := range []string{"version x", "version -x", "-version x", "check a b", "run x", "status x", "reload x", "demo x"} {
		if status, out, err := run(strings.Fields(line)...); status != exitUsage || out != "" || err == "" {
			t.Errorf("lb %s: %d %q %q", line, status, out, err)
		}
	}
	for _, line := range []string{"version", "-version", "--version", "help", "-h", "version -h"} {
		if status, out, err := run(strings.Fields(line)...); status != exitOK || out+err == "" {
			t.Errorf("lb %s: %d %q %q", line, status, out, err)
		}
	}
}

// TestReloadPrintsOnce: each diagnostic of a refused reload, and of a successful one.
func TestReloadPrintsOnce(t *testing.T) {
	const diagnostic = "lb.hcl:7:3: warning or error: something\n    x {\n"
	for _, tc := range []struct {
		refused     error
		diagnostics string
		status      int
	}{
		{errors.New("the configuration has errors:\n" + diagnostic), diagnostic, exitFail},
		{errors.New("cannot listen: lb.hcl:7:3: warning or error: something"), "cannot listen: lb.hcl:7:3: warning or error: something", exitFail},
		{errors.New("lb.hcl:7:3: warning or error: something"), "", exitFail},
		{nil, diagnostic, exitOK},
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- admin.New(admin.Options{
				Listen: listener.Addr().String(),
				Reload: func(context.Context) (string, error) { return tc.diagnostics, tc.refused },
			}).Serve(ctx, listener)
		}()
		status, out, said := run("reload", "-admin", listener.Addr().String())
		if status != tc.status || strings.Count(said, "something") != 1 || (tc.refused == nil) != (out == "reloaded\n") {
			t.Errorf("%+v: exit %d, %q, %q", tc, status, out, said)
		}
		cancel()
		<-ended
	}
}
