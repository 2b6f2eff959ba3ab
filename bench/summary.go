package main

import (
	"fmt"
	"slices"
	"strings"
)

// writeSummary is the whole run in one table: the first metric of each scenario, and those that have a target. Where nginx
// took part a figure is the ratio to nginx's.
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
			t, targeted := targetOf(s.Name, m.Key)
			if i > 0 && !targeted {
				continue
			}
			relative := !m.NoRatio && !(targeted && t.peer == "") && len(valuesOf(s.Samples["nginx"], m.Key)) > 0
			fmt.Fprintf(out, "| %s | %s |", s.Title, m.title())
			for _, subject := range subjects {
				fmt.Fprintf(out, " %s |", s.summaryCell(subject, m, relative))
			}
			if targeted {
				fmt.Fprintf(out, " %s |\n", t)
			} else {
				out.WriteString(" |\n")
			}
		}
	}
	out.WriteString("\nA figure without a unit is the ratio to nginx's in the same rounds, with its interval.\n")
	if counts := verdictCounts(r.Verdicts); counts != "" {
		fmt.Fprintf(out, "\n%s", counts)
	}
}

// summaryCell is the median of the figure, or of its ratio to nginx's, with its interval and the verdict.
func (r scenarioResult) summaryCell(subject string, m metric, relative bool) string {
	values, digits, unit := valuesOf(r.Samples[subject], m.Key), m.Digits, " "+m.Unit
	if relative && subject != "nginx" {
		values, digits, unit = pairedRatios(r.Samples[subject], r.Samples["nginx"], m.Key), 2, ""
	}
	if len(values) == 0 {
		return "–"
	}
	cell := fmt.Sprintf("%.*f%s", digits, median(values), strings.TrimRight(unit, " "))
	if relative && subject == "nginx" {
		return cell
	}
	low, high := interval(values)
	cell += fmt.Sprintf(" (%.*f–%.*f)", digits, low, digits, high)
	if t, targeted := targetOf(r.Name, m.Key); targeted && !isPeer(subject) {
		if v, ok := t.judge(r, subject); ok {
			cell += " **" + v.Word + "**"
		}
	}
	return cell
}
