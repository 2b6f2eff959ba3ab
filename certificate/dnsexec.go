package certificate

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

// execLimit bounds one run of the program that sets DNS records, which may wait until the record can be seen.
const execLimit = 5 * time.Minute

// dnsExec solves dns-01 by a program, which is run as "PROGRAM present NAME VALUE" to set the TXT record of a name, and with
// "cleanup" to remove it. The name ends with a dot.
type dnsExec struct{ program string }

// Present implements acmez.Solver.
func (d dnsExec) Present(ctx context.Context, c acme.Challenge) error {
	return d.run(ctx, "present", c)
}

// CleanUp implements acmez.Solver.
func (d dnsExec) CleanUp(ctx context.Context, c acme.Challenge) error {
	return d.run(ctx, "cleanup", c)
}

func (d dnsExec) run(ctx context.Context, what string, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, execLimit)
	defer cancel()
	name := c.DNS01TXTRecordName() + "."
	command := exec.CommandContext(ctx, d.program, what, name, c.DNS01KeyAuthorization())
	command.WaitDelay = time.Second // for programs that it has started, when it is ended
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run %s %s %s: %w: %.500s", d.program, what, name, err, strings.TrimSpace(string(output)))
	}
	return nil
}
