package discovery

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"

	"lb/internal/limits"
	"lb/pool"
)

// LineError is an error in a line of a file of backends, with what to write instead.
type LineError struct {
	Path    string
	Line    int // from 1
	Problem string
	Remedy  string
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: %s; %s", e.Path, e.Line, e.Problem, e.Remedy)
}

// parse reads a file of backends: one per line, "address [weight=N] [max_conns=N] [backup]". A # at the start of a
// word begins a comment. The error is a *LineError.
func parse(path string, text []byte) ([]pool.Member, error) {
	members := []pool.Member{}
	lines := make(map[string]int) // of each address
	number := 0
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // the byte order mark of some editors
	for line := range bytes.Lines(text) {
		number++
		member, problem, remedy := parseLine(string(line))
		if problem == "" && member.Address == "" {
			continue
		}
		if first := lines[member.Address]; problem == "" && first > 0 {
			problem = fmt.Sprintf("%s is already on line %d", member.Address, first)
			remedy = "remove one of the two; for a larger share write weight=N"
		}
		if problem != "" {
			return nil, &LineError{path, number, problem, remedy}
		}
		lines[member.Address] = number
		members = append(members, member)
	}
	return members, nil
}

// parseLine returns the member of one line, the zero member for an empty one.
func parseLine(line string) (m pool.Member, problem, remedy string) {
	words := strings.Fields(line)
	for i, word := range words {
		if word[0] == '#' {
			words = words[:i]
			break
		}
	}
	if len(words) == 0 {
		return m, "", ""
	}
	m.Address = words[0]
	if !validAddress(m.Address) {
		return m, fmt.Sprintf("%q is not an address", m.Address), `write "host:port" or "unix:/path"`
	}
	m.Weight = 1
	seen := make(map[string]bool)
	for _, word := range words[1:] {
		name, value, hasValue := strings.Cut(word, "=")
		if seen[name] {
			return m, fmt.Sprintf("%s appears twice", name), "remove one of the two"
		}
		seen[name] = true
		ok := true
		switch {
		case name == "weight" && hasValue:
			m.Weight, ok = number(value, 1, limits.MaxWeight)
			remedy = fmt.Sprintf("write weight=N with N from 1 to %d", limits.MaxWeight)
		case name == "max_conns" && hasValue:
			m.MaxConns, ok = number(value, 0, 1<<31-1)
			remedy = "write max_conns=N with N from 1, or 0 for no limit"
		case word == "backup":
			m.Backup = true
		default:
			ok = false
			remedy = "write weight=N, max_conns=N or backup after the address"
		}
		if !ok {
			return m, fmt.Sprintf("%q is not valid", word), remedy
		}
	}
	return m, "", ""
}

// number reads a plain decimal number from low to high.
func number(s string, low, high int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || int(n) < low || int(n) > high {
		return 0, false
	}
	return int(n), true
}

// validAddress accepts "host:port" with a port from 1 to 65535, and "unix:" with a path.
func validAddress(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return false
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return path != ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/?#@=\"") {
		return false
	}
	_, ok := number(port, 1, 65535)
	return ok
}
