package main

import (
	"fmt"
	"slices"
	"strings"
)

// writeSummary is the whole run in one table: the first metric of each scenario, and those that have a target, with a line for
// each whose peer took part. A figure is the ratio to that of the target's peer, or else to nginx's, if it took part.
func writeSummary(out *strings.Builder, r report) {
	var subjects []string
	for _, s := range r.Scenarios {
		for _, subject := range s.Subjects {
			if !slices.Contains(subjects, subject) {
				subjects = append(subjects, subject)
			}
		}
	}
	out.WriteString("\n## Summary\n\n| work | figure | " + strings.Join(subjects, " | ") + " | target |\n|---|---|" +
		strings.Repeat("--:|", len(subjects)) + "---|\n")
	for _, s := range r.Scenarios {
		for i, m := range s.Metrics {
			lines := slices.DeleteFunc(targetsOf(s.Name, m.Key), func(t target) bool {
				return t.peer != "" && len(valuesOf(s.Samples[t.peer], m.Key)) == 0
			})
			if i == 0 && len(lines) == 0 {
				lines = []target{{peer: "nginx"}}
			}
			for _, t := range lines {
				s.writeLine(out, subjects, m, t)
			}
		}
	}
	out.WriteString("\nA figure without a unit is the ratio in the same rounds, with its interval, to the peer that has one with a unit.\n")
	if counts := verdictCounts(r.Verdicts); counts != "" {
		fmt.Fprintf(out, "\n%s", counts)
	}
}

// writeLine is the line of a metric and a target. A target without a scenario has no bound.
func (r scenarioResult) writeLine(out *strings.Builder, subjects []string, m metric, t target) {
	if m.NoRatio || len(valuesOf(r.Samples[t.peer], m.Key)) == 0 {
		t.peer = ""
	}
	fmt.Fprintf(out, "| %s | %s |", r.Title, m.title())
	for _, subject := range subjects {
		fmt.Fprintf(out, " %s |", r.summaryCell(subject, m, t))
	}
	if t.scenario != "" {
		fmt.Fprintf(out, " %s |\n", t)
	} else {
		out.WriteString(" |\n")
	}
}

// summaryCell is the median of the figure, or of its ratio to the peer's, with its interval and the verdict.
func (r scenarioResult) summaryCell(subject string, m metric, t target) string {
	values, digits, unit := valuesOf(r.Samples[subject], m.Key), m.Digits, " "+m.Unit
	relative := t.peer != ""
	if relative && subject != t.peer {
		values, digits, unit = pairedRatios(r.Samples[subject], r.Samples[t.peer], m.Key), 2, ""
	}
	if len(values) == 0 {
		return "–"
	}
	cell := fmt.Sprintf("%.*f%s", digits, median(values), strings.TrimRight(unit, " "))
	if relative && subject == t.peer {
		return cell
	}
	low, high := interval(values)
	cell += fmt.Sprintf(" (%.*f–%.*f)", digits, low, digits, high)
	if t.scenario != "" && !isPeer(subject) {
		if v, ok := t.judge(r, subject); ok {
			cell += " **" + v.Word + "**"
		}
	}
	return cell
}
