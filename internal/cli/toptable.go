package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"lb/pool"
)

// colour is the colour of a piece of text, on a terminal that has colours.
type colour string

const (
	uncoloured colour = ""
	bold       colour = "1"
	red        colour = "31"
	green      colour = "32"
	yellow     colour = "33"
	inverse    colour = "7"
)

func (c colour) paint(text string) string {
	if c == uncoloured {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// topLine is a line of the table: its cells, and the colours of the first two.
type topLine struct {
	cells [len(topHeader)]string
	name  colour
	state colour
}

// topHeader names the columns. Names and states are aligned left, numbers right.
var topHeader = [...]string{"POOL, BACKEND", "STATE", "WEIGHT", "IN FLIGHT", "REQ/S", "ERR/S", "EWMA", "CONNS", "IDLE", "QUEUE"}

const leftColumns = 2

// topLines is the table of a sample, with the rates since an earlier one.
func topLines(s *Sample, r rates) []topLine {
	var lines []topLine
	for i := range s.Pools {
		p := &s.Pools[i]
		head := len(lines)
		lines = append(lines, topLine{})
		var sum poolSum
		for k := range p.Backends {
			lines = append(lines, backendLine(p.Name, &p.Backends[k], r, &sum))
		}
		lines[head] = sum.line(p)
	}
	return lines
}

// poolSum adds up the backends of a pool.
type poolSum struct {
	up, active, idle int
	inFlight         int64
	requests, errors float64
}

func backendLine(pool string, b *Backend, r rates, sum *poolSum) topLine {
	requests, errors := r.backend(pool, b)
	if b.Usable {
		sum.up++
	}
	sum.active += b.ActiveConns
	sum.idle += b.IdleConns
	sum.inFlight += b.InFlight
	sum.requests += zeroIfUnknown(requests)
	sum.errors += zeroIfUnknown(errors)
	if r.seconds <= 0 {
		sum.requests, sum.errors = math.NaN(), math.NaN()
	}
	state := plain(b.State)
	if b.Passive == "trial" {
		state += ", on trial"
	}
	if b.Backup {
		state += ", backup"
	}
	return topLine{
		state: stateColour(b),
		cells: [...]string{"  " + plain(b.Address), state, weightText(*b), inFlightText(*b), rateText(requests), rateText(errors),
			ewmaText(*b), strconv.Itoa(b.ActiveConns), strconv.Itoa(b.IdleConns), ""},
	}
}

func zeroIfUnknown(rate float64) float64 {
	if math.IsNaN(rate) {
		return 0
	}
	return rate
}

func (sum *poolSum) line(p *pool.PoolStatus) topLine {
	line := topLine{name: bold, state: uncoloured}
	state := fmt.Sprintf("%d of %d usable", sum.up, len(p.Backends))
	switch p.Tier {
	case "none":
		line.state = red
	case "panic", "backup", "unknown":
		state += ", " + p.Tier
		line.state = yellow
	}
	line.cells = [...]string{plain(p.Name), state, "", strconv.FormatInt(sum.inFlight, 10), rateText(sum.requests), rateText(sum.errors),
		"", strconv.Itoa(sum.active), strconv.Itoa(sum.idle), strconv.Itoa(p.Waiting)}
	return line
}

func stateColour(b *Backend) colour {
	switch {
	case b.Admin != "ready", b.Active == "unknown", b.Passive == "trial":
		return yellow
	case b.Usable:
		return green
	}
	return red
}

// topText aligns the table: a line for the header and one for each line, cut to the width; 0 is no limit.
func topText(lines []topLine, width int, colours bool) (header string, rows []string) {
	var widths [len(topHeader)]int
	measure := func(cells *[len(topHeader)]string) {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	first := topLine{cells: topHeader, name: bold}
	measure(&first.cells)
	for i := range lines {
		measure(&lines[i].cells)
	}
	for i := range lines {
		rows = append(rows, lines[i].text(&widths, width, colours))
	}
	return first.text(&widths, width, colours), rows
}

func (l *topLine) text(widths *[len(topHeader)]int, width int, colours bool) string {
	var b strings.Builder
	left := width
	for i, cell := range l.cells {
		room := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		text := cell + room
		if i >= leftColumns {
			text = room + cell
		}
		if i > 0 {
			text = "  " + text
		}
		if width > 0 {
			text = cut(text, left)
			left -= utf8.RuneCountInString(text)
		}
		switch {
		case colours && i == 0:
			text = l.name.paint(text)
		case colours && i == 1:
			text = l.state.paint(text)
		}
		b.WriteString(text)
	}
	return strings.TrimRight(b.String(), " ")
}

// cut shortens a text to a number of characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:max(most, 0)])
}

// summaryText is lb as a whole in one line.
func summaryText(s *Sample, r rates) string {
	t := &s.Status.Totals
	state := "ready"
	if !s.Status.Ready {
		state = "not ready"
	}
	return fmt.Sprintf("%s req/s, %s 5xx/s, %d in flight, %d connections, %s", rateText(r.of(r.totals.Requests, t.Requests)),
		rateText(r.of(r.totals.Errors, t.Errors)), t.InFlight, t.Connections, state)
}

// titleText names the balancer that is shown.
func titleText(addr string, s *Sample) string {
	return fmt.Sprintf("lb %s at %s, up %s", plain(s.Status.Version), addr, uptimeText(s.Status.Uptime))
}

func uptimeText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Truncate(time.Second)
	if d < 24*time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%dd%s", d/(24*time.Hour), (d % (24 * time.Hour)).Truncate(time.Minute))
}
