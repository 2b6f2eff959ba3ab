package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"lb/admin"
	"lb/pool"
)

// WriteExplanation writes an explanation for people: what happens to the request from the listener to the backends,
// one item per line.
func WriteExplanation(w io.Writer, e *admin.Explanation) error {
	return writeExplanation(w, e, time.Now())
}

// WriteExplanationJSON writes an explanation for programs.
func WriteExplanationJSON(w io.Writer, e *admin.Explanation) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(e)
}

func writeExplanation(w io.Writer, e *admin.Explanation, now time.Time) error {
	fmt.Fprintf(w, "%s %s\n\n", plain(e.Method), plain(e.URL))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	explainArrival(e, row)
	explainRoute(e, row)
	if f := e.Files; f != nil {
		row("files", "%s below %s", f.Path, f.Root)
		if f.File != "" {
			row("", "%s", f.File)
		} else {
			row("", "%s", f.Found)
		}
	}
	if a := e.Response; a != nil {
		row("response", "%d %s: %s", a.Status, http.StatusText(a.Status), a.Reason)
		if a.Allow != "" {
			row("", "Allow: %s", a.Allow)
		}
		if a.Location != "" {
			row("", "Location: %s", a.Location)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range e.Pools {
		if err := explainPool(w, &e.Pools[i], now); err != nil {
			return err
		}
	}
	notes := e.Notes
	if e.Offline {
		notes = append([]string{"this is from the configuration alone; no running lb was asked"}, notes...)
	}
	for i, note := range notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "Note: %s.\n", plain(note))
	}
	return nil
}

// explainArrival writes how the request arrives, and at which site.
func explainArrival(e *admin.Explanation, row func(name, format string, args ...any)) {
	name := "listener"
	for _, l := range e.Listeners {
		text := l.Address + " (http)"
		if l.TLS {
			text = l.Address + " (https)"
			if l.HTTP3 {
				text = l.Address + " (https, with HTTP/3)"
			}
		}
		if l.RedirectHTTPS {
			text += ", redirects to https"
		}
		if l.Why != "" {
			text += ": " + l.Why
		}
		row(name, "%s", text)
		name = ""
	}
	if len(e.Listeners) == 0 {
		scheme, _, _ := strings.Cut(e.URL, ":")
		row(name, "none speaks %s", scheme)
	}
	if len(e.Listeners) > 0 {
		explainSecurity(&e.Listeners[0], row)
	}
	if e.Client != "" {
		row("client", "%s", e.Client)
	}
	if e.Host != "" {
		row("host", "%s", e.Host)
	}
	if e.Site != nil {
		row("site", "%s: %s", e.Site.Name, e.Site.Why)
	} else if e.Host != "" {
		row("site", "none")
	}
}

// explainSecurity writes which protocols and certificates clients get from a listener.
func explainSecurity(l *admin.ExplainedListener, row func(name, format string, args ...any)) {
	if l.TLS || len(l.Protocols) > 1 {
		row("protocols", "%s", strings.Join(l.Protocols, ", "))
	}
	if !l.TLS {
		return
	}
	name := "certificate"
	for i := range l.Certificates {
		row(name, "%s", explainedCertificate(&l.Certificates[i]))
		name = ""
	}
	if l.CertificateWhy != "" {
		row(name, "%s", l.CertificateWhy)
	}
}

// explainedCertificate says what a certificate is for, where it is from and how long it is valid.
func explainedCertificate(c *admin.Certificate) string {
	text := c.Subject
	if names := strings.Join(c.Names, ", "); names != c.Subject {
		text += " (for " + names + ")"
	}
	if c.ACME {
		text += ", by ACME"
	} else {
		text += ", from " + c.File
	}
	if c.State != "" {
		text += ": " + strings.ReplaceAll(c.State, "_", " ")
	}
	if !c.NotAfter.IsZero() {
		text += ", until " + c.NotAfter.UTC().Format("2006-01-02 15:04 UTC")
	}
	if c.Error != "" {
		text += "; " + c.Error
	}
	return text
}

// explainRoute writes which route was chosen, which others were considered, and what it requires.
func explainRoute(e *admin.Explanation, row func(name, format string, args ...any)) {
	if e.Path != "" {
		row("path", "%s", e.Path)
	}
	chosen := false
	for _, r := range e.Routes {
		if r.Chosen {
			row("route", "%s: %s (%s)", r.Pattern, r.Why, r.Where)
			chosen = true
		}
	}
	if e.Path != "" && !chosen {
		row("route", "none")
	}
	for _, r := range e.Routes {
		if !r.Chosen {
			row("", "not %s: %s (%s)", r.Pattern, r.Why, r.Where)
		}
	}
	for _, r := range e.Rules {
		row(r.Name, "%s", r.Text)
	}
}

func explainPool(w io.Writer, p *admin.ExplainedPool, now time.Time) error {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, text string) { fmt.Fprintf(t, "%s\t%s\n", name, plain(text)) }
	share := ""
	if p.Share < 1 {
		share = fmt.Sprintf(", %.3g %% of the requests", p.Share*100)
	}
	row("pool", p.Name+": "+p.Balance+share+"; "+p.Why)
	if p.Protocol != "" {
		row("protocol", p.Protocol)
	}
	row("target", p.Target+" with Host: "+p.Host)
	if p.Connection != "" {
		row("connection", p.Connection)
	}
	row("retries", p.Retry)
	if p.Sticky != "" {
		row("sticky", p.Sticky)
	}
	if p.HashKey != "" {
		row("hash key", p.HashKey+choiceText(p))
	} else if p.Choice != "" {
		row("choice", p.Choice)
	}
	if p.Waiting > 0 {
		row("queue", fmt.Sprintf("%d requests are ahead of this one", p.Waiting))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  \tBACKEND\tSTATE\tWEIGHT\tIN-FLIGHT\tWHY")
	for i := range p.Backends {
		b := &p.Backends[i]
		mark := "  -"
		if b.Used && b.Room {
			mark = "  +"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", mark, plain(b.Address), plain(b.State), weightText(b.BackendStatus),
			inFlightText(b.BackendStatus), plain(prospectText(p, b, now)))
	}
	if len(p.Backends) == 0 {
		fmt.Fprintln(t, "  \t(no backend)")
	}
	return t.Flush()
}

func choiceText(p *admin.ExplainedPool) string {
	switch {
	case p.KeyWhy != "":
		return "; " + p.KeyWhy
	case p.Own != "":
		return "; the key belongs to " + p.Own + ", which is full or overloaded: " + orNone(p.Choice)
	case p.Choice != "":
		return "; the key belongs to " + p.Choice
	}
	return ""
}

func orNone(address string) string {
	if address == "" {
		return "no backend has room"
	}
	return "it goes to " + address
}

// prospectText says why a backend gets the request or not, with times.
func prospectText(p *admin.ExplainedPool, b *pool.Prospect, now time.Time) string {
	text := b.Why
	if text == "" {
		text = "usable"
		if b.State == "unknown" {
			text = "its state is not known"
		}
	}
	if b.Address == p.Choice {
		text = text + "; gets this request"
	}
	if b.Since != nil {
		text += ", since " + strings.TrimSuffix(age(*b.Since, now), " ago")
	}
	if b.Until != nil {
		text += fmt.Sprintf(", for another %v", max(0, b.Until.Sub(now)).Round(time.Second))
	}
	return text
}
