package cli

import (
	"fmt"
	"time"
)

// view is the contents of the terminal: the last sample, how far it is scrolled, and whether lb still responds.
type view struct {
	title   string // the admin listener's address
	colours bool

	old, now *Sample
	failed   error     // of the last sample; nil: it succeeded
	since    time.Time // of the first sample that failed

	top  int // the first row shown
	page int // the rows that the last frame had room for
}

func (v *view) take(r round) {
	if r.err != nil {
		if v.failed == nil {
			v.since = time.Now()
		}
		v.failed = r.err
		return
	}
	v.failed = nil
	v.old, v.now = v.now, r.sample
}

// press scrolls; frame keeps the position within bounds.
func (v *view) press(k key) {
	switch k {
	case keyUp:
		v.top--
	case keyDown:
		v.top++
	case keyPageUp:
		v.top -= max(v.page, 1)
	case keyPageDown:
		v.top += max(v.page, 1)
	case keyHome:
		v.top = 0
	case keyEnd:
		v.top = int(^uint(0) >> 1)
	}
}

// The fixed lines of a frame: title, summary, a blank one, the table's header, and the help at the bottom.
const (
	linesAbove = 4
	linesBelow = 1
)

// frame returns the lines for a terminal of that size, at most as many as it has.
func (v *view) frame(width, height int) []string {
	since := ratesSince(v.old, v.now)
	header, rows := topText(topLines(v.now, since), width, v.colours)
	v.page = max(height-linesAbove-linesBelow, 0)
	v.top = max(0, min(v.top, len(rows)-v.page))
	summary, look := summaryText(v.now, since), uncoloured
	if v.failed != nil {
		summary, look = fmt.Sprintf("no response since %s, retrying: %v", v.since.Format(time.TimeOnly), plain(v.failed.Error())), red
	}
	lines := []string{
		v.paint(bold, cut(titleText(v.title, v.now), width)),
		v.paint(look, cut(summary, width)),
		"",
		header,
	}
	shown := rows[v.top:min(v.top+v.page, len(rows))]
	lines = append(lines, shown...)
	for len(lines) < height-linesBelow {
		lines = append(lines, "")
	}
	help := "q quits"
	if len(shown) < len(rows) {
		help += fmt.Sprintf(", arrows and page keys scroll: %d to %d of %d", min(v.top+1, len(rows)), v.top+len(shown), len(rows))
	}
	lines = append(lines, v.paint(inverse, cut(help, width)))
	return lines[:min(len(lines), height)]
}

func (v *view) paint(c colour, text string) string {
	if !v.colours {
		return text
	}
	return c.paint(text)
}
