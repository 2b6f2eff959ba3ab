package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"lb/admin"
	"lb/pool"
)

// WriteTable writes the pools as an aligned table for a terminal, one line a backend.
func WriteTable(w io.Writer, pools []pool.PoolStatus) error {
	return writeTable(w, pools, time.Now())
}

func writeTable(w io.Writer, pools []pool.PoolStatus, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "POOL\tBACKEND\tSTATE\tWEIGHT\tIN-FLIGHT\tREQUESTS\tERRORS\tEWMA\tLAST CHECK")
	for _, p := range pools {
		name := plain(p.Name)
		if p.Panic {
			name += " (panic)"
		}
		if len(p.Backends) == 0 {
			fmt.Fprintf(t, "%s\t(no backend)\n", name)
		}
		for _, b := range p.Backends {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", name, plain(b.Address), stateText(b, now),
				weightText(b), inFlightText(b), b.Requests, b.Errors, ewmaText(b), checkText(b.LastCheck, now))
			name = "" // once per pool
		}
	}
	return t.Flush()
}

// WriteStatus writes the pools as WriteTable does, and to warnings a line for each certificate that needs attention.
func (c *Client) WriteStatus(ctx context.Context, out, warnings io.Writer) error {
	pools, err := c.Pools(ctx)
	if err != nil {
		return err
	}
	if err := WriteTable(out, pools); err != nil {
		return err
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	writeCertificates(warnings, status.Certificates)
	return nil
}

func writeCertificates(w io.Writer, certificates []admin.Certificate) {
	for _, c := range certificates {
		if c.State == "valid" {
			continue
		}
		fmt.Fprintf(w, "lb: warning: the certificate of %s %s", plain(c.Subject), certificateText(c.State))
		if !c.NotAfter.IsZero() {
			fmt.Fprintf(w, "; it ends on %s", c.NotAfter.UTC().Format("2006-01-02 15:04 UTC"))
		}
		if c.Error != "" {
			fmt.Fprintf(w, ": %s", plain(c.Error))
		}
		fmt.Fprintln(w)
	}
}

// certificateText is what is said of a certificate in a state.
func certificateText(state string) string {
	if state == "failed" {
		return "was not obtained or renewed"
	}
	return "is " + strings.ReplaceAll(plain(state), "_", " ")
}

// stateText is the state with its reason, the most important part of the table.
func stateText(b pool.BackendStatus, now time.Time) string {
	text := plain(b.State)
	if b.Passive == "trial" {
		text += ", on trial"
	}
	if b.Flapping {
		text += ", flapping"
	}
	if b.Backup {
		text += ", backup"
	}
	c := b.Cause
	if c == nil { // or the balancer is of a version that does not report it
		c = b.LastChange
	}
	if c != nil && !(b.Usable && b.Passive == "ok") {
		reason := ""
		if c.Reason != "" {
			reason = plain(c.Reason) + ", "
		}
		text += " (" + reason + age(c.Time, now) + ")"
	}
	return text
}

func weightText(b pool.BackendStatus) string {
	if b.ConfiguredWeight != 0 {
		return fmt.Sprintf("%d (configured %d)", b.Weight, b.ConfiguredWeight)
	}
	return strconv.Itoa(b.Weight)
}

func inFlightText(b pool.BackendStatus) string {
	if b.MaxConns > 0 {
		return fmt.Sprintf("%d/%d", b.InFlight, b.MaxConns)
	}
	return strconv.FormatInt(b.InFlight, 10)
}

func ewmaText(b pool.BackendStatus) string {
	if b.EWMAMillis == 0 {
		return "-"
	}
	return strconv.FormatFloat(b.EWMAMillis, 'f', 1, 64) + "ms"
}

func checkText(c *pool.Check, now time.Time) string {
	switch {
	case c == nil:
		return "-"
	case c.OK:
		return fmt.Sprintf("passed in %.1fms, %s", c.Millis, age(c.Time, now))
	case c.Error != "":
		return "failed: " + plain(c.Error) + ", " + age(c.Time, now)
	}
	return "failed, " + age(c.Time, now)
}

// age returns "now" instead of a negative time if the clocks of two machines differ.
func age(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	}
	return fmt.Sprintf("%dd ago", d/(24*time.Hour))
}

// plain keeps text from a backend from moving the terminal's cursor or the table's columns.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// Summary describes a backend in a few words: its admin state, what follows from it, and what is in flight.
func Summary(b pool.BackendStatus) string {
	text := b.Admin
	if b.State != b.Admin {
		text += ", " + plain(b.State)
	}
	inFlight := "nothing in flight"
	if b.InFlight > 0 {
		inFlight = fmt.Sprintf("%d in flight", b.InFlight)
	}
	return text + ", weight " + weightText(b) + ", " + inFlight
}
