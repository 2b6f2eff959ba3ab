package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Member is a backend as the command line names it: POOL/BACKEND.
type Member struct{ Pool, Backend string }

// ParseMember reads POOL/BACKEND.
func ParseMember(text string) (m Member, ok bool) {
	m.Pool, m.Backend, ok = strings.Cut(text, "/")
	return m, ok && m.Pool != "" && m.Backend != ""
}

func (m Member) String() string { return m.Backend + " in pool " + m.Pool }

// WriteChanged writes a backend as it is after a change, and to warnings where its pool cannot do without it.
func (c *Client) WriteChanged(ctx context.Context, out, warnings io.Writer, m Member, b Backend) {
	fmt.Fprintf(out, "%v: %s\n", m, Summary(b))
	if p, err := c.Pool(ctx, m.Pool); err == nil && p.Tier == "none" {
		fmt.Fprintf(warnings, "lb: warning: no backend of pool %s is usable now: its requests get 503\n", m.Pool)
	}
}

// WriteIdle waits until a backend has no request in flight, at most for limit, and writes it as it is then.
func (c *Client) WriteIdle(ctx context.Context, out io.Writer, m Member, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b, err := c.AwaitIdle(ctx, m.Pool, m.Backend)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%v still has %d requests in flight after %v; it stays in %s; to wait longer use -timeout", m, b.InFlight, limit, b.Admin)
	}
	if err == nil {
		fmt.Fprintf(out, "%v: %s\n", m, Summary(b))
	}
	return err
}

// WriteReload reloads the configuration and writes the result, with the diagnostics to warnings.
func (c *Client) WriteReload(ctx context.Context, out, warnings io.Writer) error {
	diagnostics, err := c.Reload(ctx)
	if diagnostics = strings.TrimSpace(diagnostics); diagnostics != "" {
		fmt.Fprintln(warnings, diagnostics)
		if err != nil {
			err = errors.New("not reloaded; the configuration in force stays")
		}
	}
	if err == nil {
		fmt.Fprintln(out, "reloaded")
	}
	return err
}
