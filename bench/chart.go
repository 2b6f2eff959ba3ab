package main

import (
	"fmt"
	"html"
	"strings"
)

// Measures of the chart in pixels.
const (
	chartWidth   = 760
	chartLabels  = 110 // left of the bars
	chartFigures = 130 // right of the bars
	chartBar     = 16
	chartRow     = 24
	chartHeading = 44
)

// chart draws the first metric of each scenario: a bar a balancer, its length the median, with a whisker
// from the lowest to the highest round. Every scenario has a scale of its own, which begins at zero.
func chart(r report) string {
	var body strings.Builder
	y := 10
	for _, s := range r.Scenarios {
		y = drawScenario(&body, s, y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" `+
		`font-family="system-ui, sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, chartWidth, y+10, body.String())
}

// drawScenario draws below y and returns where it ended.
func drawScenario(out *strings.Builder, s scenarioResult, y int) int {
	m := s.Metrics[0]
	summaries := make(map[string]summary)
	var highest float64
	for _, subject := range s.Subjects {
		summaries[subject] = summarize(valuesOf(s.Samples[subject], m.Key))
		highest = max(highest, summaries[subject].Max)
	}
	if highest <= 0 {
		return y
	}
	fmt.Fprintf(out, `<text x="10" y="%d" font-size="14" font-weight="600">%s</text>`+"\n", y+18, html.EscapeString(s.Title))
	fmt.Fprintf(out, `<text x="10" y="%d" fill="#666">%s</text>`+"\n", y+34, html.EscapeString(m.title()))
	y += chartHeading
	scale := float64(chartWidth-chartLabels-chartFigures) / highest
	for _, subject := range s.Subjects {
		if summaries[subject].Count == 0 {
			continue
		}
		drawBar(out, subject, m, summaries[subject], scale, y)
		y += chartRow
	}
	return y + 8
}

func drawBar(out *strings.Builder, subject string, m metric, values summary, scale float64, y int) {
	// A balancer that gave memory back has a value below zero, and no bar.
	at := func(value float64) float64 { return chartLabels + max(0, value)*scale }
	middle := y + chartBar/2
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", chartLabels-8, middle+4, html.EscapeString(subject))
	fmt.Fprintf(out, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
		chartLabels, y, at(values.Median)-chartLabels, chartBar, barColor(subject))
	fmt.Fprintf(out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%[2]d" stroke="#222"/>`+"\n", at(values.Min), middle, at(values.Max))
	fmt.Fprintf(out, `<text x="%.1f" y="%d">%.*f %s</text>`+"\n",
		at(max(values.Median, values.Max))+8, middle+4, m.Digits, values.Median, html.EscapeString(m.Unit))
}

func barColor(subject string) string {
	switch subject {
	case "nginx":
		return "#8fae9b"
	case "haproxy":
		return "#9fb0c8"
	case "caddy":
		return "#b8a3c4"
	default:
		return "#d9822b"
	}
}
