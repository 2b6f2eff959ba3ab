package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// report is all that a run found. It is what results.json holds.
type report struct {
	Machine   machine          `json:"machine"`
	Options   string           `json:"options"`
	Notes     []string         `json:"notes,omitempty"`
	Verdicts  []verdict        `json:"verdicts,omitempty"`
	Scenarios []scenarioResult `json:"scenarios"`
}

// scenarioResult keeps every sample, so that results can be judged again without a new run.
type scenarioResult struct {
	Name     string              `json:"name"`
	Title    string              `json:"title"`
	Text     string              `json:"text"`
	Metrics  []metric            `json:"metrics"`
	Subjects []string            `json:"subjects"`
	Samples  map[string][]sample `json:"samples"` // by balancer, then by round; null where there is none
	Failures []string            `json:"failures,omitempty"`
}

func newScenarioResult(s scenario) scenarioResult {
	return scenarioResult{
		Name:    s.name,
		Title:   s.title,
		Text:    s.text,
		Metrics: s.metrics,
		Samples: make(map[string][]sample),
	}
}

// fail records and prints a failure.
func (r *scenarioResult) fail(format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	fmt.Fprintf(os.Stderr, "bench: %s: %s\n", r.Name, text)
	r.Failures = append(r.Failures, text)
}

func (r report) failures() int {
	n := 0
	for _, s := range r.Scenarios {
		n += len(s.Failures)
	}
	return n
}

// writeReport puts the report into dir as Markdown, JSON and SVG, and the Markdown on stdout.
func writeReport(r report, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot create the report's directory: %w", err)
	}
	r.Verdicts = judgeAll(r.Scenarios)
	results, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot encode the results: %w", err)
	}
	text := markdown(r)
	for name, content := range map[string]string{
		"report.md":    text,
		"results.json": string(results) + "\n",
		"chart.svg":    chart(r),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	_, err = io.WriteString(os.Stdout, text)
	return err
}

// peerNames are the columns of ratios.
func peerNames() []string { return []string{"nginx", "haproxy", "caddy"} }

func isPeer(subject string) bool { return slices.Contains(peerNames(), subject) }

func markdown(r report) string {
	var out strings.Builder
	m := r.Machine
	out.WriteString("# Measurements\n\n")
	fmt.Fprintf(&out, "%s, %d cores, %d MiB, %s, %s; %s; load average before: %s.\n\n",
		m.Processor, m.Cores, m.MemoryMiB, m.Kernel, m.Go, m.Time.Format("2006-01-02 15:04 MST"), m.Load)
	fmt.Fprintf(&out, "%s.\n\n", r.Options)
	names := make([]string, 0, len(m.Versions))
	for name := range m.Versions {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&out, "- %s: %s\n", name, m.Versions[name])
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&out, "- Note: %s\n", note)
	}
	out.WriteString("\nEach figure is the median over the rounds, ± the median deviation from it, then lowest and highest. " +
		"A ratio is the median of the ratios within each round, with the lowest and the highest of them: " +
		"where these lie on both sides of 1, the order is not certain. CPU is user and system time of all processes and threads of a balancer.\n")
	writeSummary(&out, r)
	for _, s := range r.Scenarios {
		writeScenario(&out, s)
	}
	return out.String()
}

func writeScenario(out *strings.Builder, s scenarioResult) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n", s.Title, s.Text)
	out.WriteString("| metric | balancer | median | range | to nginx | to HAProxy | to Caddy |\n|---|---|--:|--:|--:|--:|--:|\n")
	for _, m := range s.Metrics {
		for _, subject := range s.Subjects {
			values := summarize(valuesOf(s.Samples[subject], m.Key))
			if values.Count == 0 {
				fmt.Fprintf(out, "| %s | %s | – | – | – | – | – |\n", m.title(), subject)
				continue
			}
			fmt.Fprintf(out, "| %s | %s | %.*f ± %.*f | %.*f–%.*f |", m.title(), subject,
				m.Digits, values.Median, m.Digits, values.MAD, m.Digits, values.Min, m.Digits, values.Max)
			for _, peer := range peerNames() {
				fmt.Fprintf(out, " %s |", s.ratio(subject, peer, m))
			}
			out.WriteString("\n")
		}
	}
	fmt.Fprintf(out, "\n%s\n", s.noise())
	for _, failure := range s.Failures {
		fmt.Fprintf(out, "\nFailed: %s\n", failure)
	}
}

func (m metric) title() string {
	if m.Unit == "" {
		return m.Label
	}
	return m.Label + ", " + m.Unit
}

// ratio is the cell that compares a balancer with a peer; empty for the peer itself.
func (r scenarioResult) ratio(subject, peer string, m metric) string {
	if subject == peer || m.NoRatio {
		return ""
	}
	ratios := summarize(pairedRatios(r.Samples[subject], r.Samples[peer], m.Key))
	if ratios.Count == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", ratios.Median, ratios.Min, ratios.Max)
}

// noise says how far the scenario's metrics can be trusted: the first one that has a meaningful ratio stands
// for them.
func (r scenarioResult) noise() string {
	i := slices.IndexFunc(r.Metrics, func(m metric) bool { return !m.NoRatio })
	if i < 0 {
		return ""
	}
	var worst float64
	var other []float64
	for _, subject := range r.Subjects {
		worst = max(worst, summarize(valuesOf(r.Samples[subject], r.Metrics[i].Key)).relativeMAD())
		other = append(other, valuesOf(r.Samples[subject], otherLoad)...)
	}
	text := fmt.Sprintf("Noise: the typical deviation of %s is up to %.1f %% of the median.", r.Metrics[i].Label, 100*worst)
	if len(other) > 0 {
		load := summarize(other)
		text += fmt.Sprintf(" Other programs kept %.2f cores busy meanwhile (%.2f–%.2f).", load.Median, load.Min, load.Max)
	}
	return text
}
