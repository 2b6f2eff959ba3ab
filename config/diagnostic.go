package config

import (
	"bufio"
	"cmp"
	"io"
	"strings"
	"unicode/utf8"
)

// Severity says whether a configuration can be used in spite of a diagnostic.
type Severity uint8

// The severities.
const (
	Error   Severity = iota // the configuration cannot be used
	Warning                 // it can, but is probably not what was meant
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText is String for encoders.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Diagnostic is one problem of a configuration.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"` // what is wrong, without a full stop
	Detail   string   `json:"detail"`  // the remedy: what to write instead
	Pos      Pos      `json:"pos"`     // without a line if it concerns the whole configuration
	// Source is the line at Pos with its secrets masked, and Width how many of its characters are concerned, at least
	// 1.
	Source string `json:"source,omitempty"`
	Width  int    `json:"-"`
	start  int    // their column in Source, which differs from that in the file after masked text
}

// Diagnostics are all problems, ordered by place.
type Diagnostics []Diagnostic

// HasErrors reports whether there are errors, and not only warnings.
func (d Diagnostics) HasErrors() bool {
	for i := range d {
		if d[i].Severity == Error {
			return true
		}
	}
	return false
}

// WriteText prints each diagnostic with its source line, a marker below the place, and the remedy.
func (d Diagnostics) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	for i := range d {
		d[i].write(out)
	}
	return out.Flush()
}

// String returns what WriteText prints.
func (d Diagnostics) String() string {
	var b strings.Builder
	d.WriteText(&b) // a Builder does not fail
	return b.String()
}

func (d *Diagnostic) write(w *bufio.Writer) {
	if at := d.Pos.String(); at != "" {
		w.WriteString(at + ": ")
	}
	w.WriteString(d.Severity.String() + ": " + d.Summary + "\n")
	if d.Source != "" {
		w.WriteString("    " + d.Source + "\n    " + d.marker() + "\n")
	}
	if d.Detail != "" {
		w.WriteString("  " + d.Detail + "\n")
	}
}

// marker returns the line below the source: as many blanks as there are characters before the place, with tabs kept,
// then carets.
func (d *Diagnostic) marker() string {
	var b strings.Builder
	column, start := 1, cmp.Or(d.start, d.Pos.Column)
	for _, r := range d.Source {
		if column >= start {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
		column++
	}
	left := utf8.RuneCountInString(d.Source) - (column - 1)
	b.WriteString(strings.Repeat("^", max(1, min(d.Width, left))))
	return b.String()
}
