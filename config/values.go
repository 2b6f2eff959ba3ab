package config

import (
	"strconv"
	"strings"
)

// Pos is a place in a configuration file. The zero value is no position: the block was not written, or the configuration
// is from flags.
type Pos struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1
	Column int    `json:"column,omitempty"` // in characters, from 1
}

// String returns "file:line:column", or "" for the zero value.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Secret is a value that must not be shown. It prints and encodes as asterisks; a conversion to string gives the
// value.
type Secret string

const mask = "********"

// String returns asterisks, or "" if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString is String, so that %#v does not show the secret.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText is String for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// StatusSet is a set of HTTP statuses: "200-399", or "200,204,300-399".
type StatusSet []StatusRange

// StatusRange is the statuses From to To, both included.
type StatusRange struct{ From, To int }

// Contains reports whether the status is in the set.
func (s StatusSet) Contains(status int) bool {
	for _, r := range s {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// String returns the set as it is written in a configuration.
func (s StatusSet) String() string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(r.From))
		if r.To != r.From {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(r.To))
		}
	}
	return b.String()
}
