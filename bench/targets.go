package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is what lb is meant to reach: a metric's ratio to a peer's in the same rounds, or the figure itself, is to be
// at most so much.
type target struct {
	scenario, metric string
	peer             string // empty: the figure itself
	atMost           float64
}

// targets are all targets. Those of a rate or a number that the options do not select are not in
// the report.
func targets() []target {
	const nginx, caddy, cpu = "nginx", "caddy", "cpu_us"
	return []target{
		{"proxy1k", cpu, nginx, 0.78},
		{"proxy1k-c1", cpu, nginx, 0.85},
		{"proxy1k-c512", cpu, nginx, 0.85},
		{"rate4000", cpu, nginx, 0.87},
		{"rate8000", cpu, nginx, 0.87},
		{"rate8000", "p99_us", nginx, 1},
		{"post1k", cpu, nginx, 0.80},
		{"newconn", cpu, nginx, 0.95},
		{"static1k", cpu, nginx, 0.6},
		{"static100k", cpu, nginx, 0.9},
		{"static1m", cpu, nginx, 1},
		{"static10m", cpu, nginx, 1},
		{"proxy64k", cpu, nginx, 0.65},
		{"proxy1m", cpu, nginx, 0.5},
		{"tls-static", cpu, nginx, 0.7},
		{"tls-proxy", cpu, nginx, 0.75},
		// Handshakes are to cost no more than they did before the event loops.
		{"handshake-static", cpu, nginx, 0.86},
		{"handshake-proxy", cpu, nginx, 0.86},
		{"h2-static-1", cpu, nginx, 1},
		{"h2-static-1", cpu, caddy, 0.25},
		{"h2-static-32", cpu, nginx, 1},
		{"h2-static-32", cpu, caddy, 0.25},
		{"h2-proxy-1", cpu, nginx, 1},
		{"h2-proxy-1", cpu, caddy, 0.25},
		{"h2-proxy-32", cpu, nginx, 1},
		{"h2-proxy-32", cpu, caddy, 0.25},
		{"grpc", cpu, nginx, 1.2},
		{"h3-static", cpu, caddy, 0.8},
		{"h3-large", "seconds", caddy, 1},
		{"stored", "cpu_us_stored", nginx, 0.75},
		{"stored", ratioKey(variant{key: "stored"}), "", 1.1},
		{"idle1000", "bytes_1s", "", 1024},
		{"idle10000", "bytes_1s", "", 1024},
		{"backends", ratioKey(variant{key: "10000"}), "", 1.2},
		{"backends-rate", ratioKey(variant{key: "10000"}), "", 1.2},
	}
}

// targetsOf returns the targets of a metric.
func targetsOf(scenario, metric string) []target {
	return slices.DeleteFunc(targets(), func(t target) bool { return t.scenario != scenario || t.metric != metric })
}

func (t target) String() string {
	limit := fmt.Sprintf("≤ %.2f", t.atMost)
	if t.atMost >= 10 {
		limit = fmt.Sprintf("≤ %.0f", t.atMost)
	}
	if t.peer != "" {
		limit += " × " + t.peer
	}
	return limit
}

// verdict says whether a balancer reached a target.
type verdict struct {
	Scenario string  `json:"scenario"`
	Metric   string  `json:"metric"`
	Peer     string  `json:"peer,omitempty"`
	AtMost   float64 `json:"at_most"`
	Subject  string  `json:"subject"`
	Median   float64 `json:"median"`
	Low      float64 `json:"low"` // the interval that the noise leaves for the median
	High     float64 `json:"high"`
	Word     string  `json:"verdict"`
}

const (
	met       = "met"
	notMet    = "not met"
	undecided = "undecided"
)

// verdictRounds is how many rounds a verdict takes: with fewer the noise is unknown.
const verdictRounds = 3

// judge compares the interval of the median with the target. ok is false where nothing was measured.
func (t target) judge(s scenarioResult, subject string) (v verdict, ok bool) {
	values := valuesOf(s.Samples[subject], t.metric)
	if t.peer != "" {
		values = pairedRatios(s.Samples[subject], s.Samples[t.peer], t.metric)
	}
	if len(values) == 0 {
		return verdict{}, false
	}
	v = verdict{Scenario: t.scenario, Metric: t.metric, Peer: t.peer, AtMost: t.atMost, Subject: subject, Median: median(values)}
	v.Low, v.High = interval(values)
	switch {
	case len(values) < verdictRounds:
		v.Word = undecided
	case v.High <= t.atMost:
		v.Word = met
	case v.Low > t.atMost:
		v.Word = notMet
	default:
		v.Word = undecided
	}
	return v, true
}

// judgeAll judges everything that is no peer.
func judgeAll(scenarios []scenarioResult) []verdict {
	var verdicts []verdict
	for _, s := range scenarios {
		for _, t := range targets() {
			for _, subject := range s.Subjects {
				if t.scenario != s.Name || isPeer(subject) {
					continue
				}
				if v, ok := t.judge(s, subject); ok {
					verdicts = append(verdicts, v)
				}
			}
		}
	}
	return verdicts
}

// verdictCounts is one line for each balancer that was judged.
func verdictCounts(verdicts []verdict) string {
	var order []string
	counts := make(map[string]map[string]int)
	for _, v := range verdicts {
		if counts[v.Subject] == nil {
			counts[v.Subject] = make(map[string]int)
			order = append(order, v.Subject)
		}
		counts[v.Subject][v.Word]++
	}
	var lines strings.Builder
	for _, subject := range order {
		c := counts[subject]
		fmt.Fprintf(&lines, "Targets of %s: %d met, %d not met, %d undecided.\n", subject, c[met], c[notMet], c[undecided])
	}
	return lines.String()
}
