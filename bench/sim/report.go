package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// row is one scenario with the results of all algorithms, in their order.
type row struct {
	scenario scenario
	results  []result
}

// table is the report in Markdown.
func table(rows []row) string {
	names := algorithms()
	var out strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&out, "**%s**: %s\n\n", strings.ToUpper(r.scenario.name[:1])+r.scenario.name[1:], r.scenario.text)
		fmt.Fprintf(&out, "| algorithm | responses within %v | median, ms | 99 of 100 within, ms |\n|---|--:|--:|--:|\n", r.scenario.deadline)
		for i, x := range r.results {
			fmt.Fprintf(&out, "| `%s` | %.2f %% | %s | %s |\n", names[i], 100*x.success, millis(x.median), millis(x.p99))
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func millis(d time.Duration) string {
	text := fmt.Sprintf("%d", d.Round(time.Millisecond).Milliseconds())
	if n := len(text); n > 3 {
		text = text[:n-3] + "," + text[n-3:]
	}
	return text
}

// Measures of the chart in pixels.
const (
	chartWidth   = 760
	chartLabels  = 110
	chartFigures = 80
	chartRow     = 20
	chartHeading = 34
)

// Failures are drawn on a logarithmic scale, from one in a hundred thousand to all: the differences are in the tails.
const decades = 5

// chart draws the share of failures: a bar for each algorithm in each scenario.
func chart(rows []row) string {
	var body strings.Builder
	y := 10
	names := algorithms()
	for _, r := range rows {
		fmt.Fprintf(&body, `<text x="10" y="%d" font-size="14" font-weight="600">%s</text>`+"\n", y+16, r.scenario.name)
		y += chartHeading - 10
		for i, x := range r.results {
			drawBar(&body, names[i], 1-x.success, y)
			y += chartRow
		}
		y += 14
	}
	fmt.Fprintf(&body, `<text x="10" y="%d" fill="#666">Requests that failed or took over a second; each tenth of the share `+
		`is one step to the left. Shorter is better.</text>`+"\n", y+10)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" `+
		`font-family="system-ui, sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, chartWidth, y+24, body.String())
}

func drawBar(out *strings.Builder, algorithm string, failed float64, y int) {
	length := 0.0
	if failed > 0 {
		length = max(0, 1+math.Log10(failed)/decades)
	}
	width := max(1, length*(chartWidth-chartLabels-chartFigures))
	colour := "#9aa5b1"
	if algorithm == "peak_ewma" {
		colour = "#2563eb"
	}
	fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", chartLabels-8, y+13, algorithm)
	fmt.Fprintf(out, `<rect x="%d" y="%d" width="%.1f" height="14" fill="%s"/>`+"\n", chartLabels, y+2, width, colour)
	fmt.Fprintf(out, `<text x="%.1f" y="%d" fill="#333">%.2f %%</text>`+"\n", chartLabels+width+6, y+13, 100*failed)
}
