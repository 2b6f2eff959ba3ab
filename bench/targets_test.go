package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// A target that names no scenario, or no metric of it, would be ignored silently.
func TestTargetsNameScenarios(t *testing.T) {
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range targets() {
		i := slices.IndexFunc(o.scenarios, func(s scenario) bool { return s.name == want.scenario })
		if i < 0 {
			t.Errorf("there is no scenario %q", want.scenario)
			continue
		}
		s := o.scenarios[i]
		if !slices.ContainsFunc(s.metrics, func(m metric) bool { return m.Key == want.metric && (want.peer == "" || !m.NoRatio) }) {
			t.Errorf("%s has no metric %q that can be compared with %q", s.name, want.metric, want.peer)
		}
		if !slices.Contains(s.groups, "core") {
			t.Errorf("%s has a target and is not in the group core", s.name)
		}
	}
}

func TestJudge(t *testing.T) {
	ratio, figure := target{"s", "a", "nginx", 0.8}, target{"s", "a", "", 1000}
	tests := []struct {
		name      string
		target    target
		lb, nginx []float64
		want      string // empty: no verdict
	}{
		{"below in every round", ratio, []float64{7, 8, 6}, []float64{10, 10, 10}, met},
		{"just reached", ratio, []float64{8, 8, 8}, []float64{10, 10, 10}, met},
		{"above in every round", ratio, []float64{9, 10, 9}, []float64{10, 10, 10}, notMet},
		{"on both sides", ratio, []float64{7, 9, 7}, []float64{10, 10, 10}, undecided},
		{"two rounds", ratio, []float64{7, 7}, []float64{10, 10}, undecided},
		{"one outlier of eight", ratio, []float64{7, 7, 7, 7, 7, 7, 7, 20}, slices.Repeat([]float64{10}, 8), met},
		{"no peer", ratio, []float64{7, 7, 7}, nil, ""},
		{"not measured", figure, nil, []float64{10, 10, 10}, ""},
		{"the figure itself", figure, []float64{900, 1000, 950}, nil, met},
		{"the figure itself, above", figure, []float64{1100, 1200, 1001}, nil, notMet},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			result := scenarioResult{Name: "s", Samples: map[string][]sample{"lb": samplesOf(test.lb), "nginx": samplesOf(test.nginx)}}
			v, ok := test.target.judge(result, "lb")
			if ok != (test.want != "") || v.Word != test.want {
				t.Errorf("got %+v and %v, want %q", v, ok, test.want)
			}
		})
	}
}

func samplesOf(values []float64) []sample {
	var samples []sample
	for _, v := range values {
		samples = append(samples, sample{"a": v})
	}
	return samples
}

func TestInterval(t *testing.T) {
	tests := []struct {
		values    []float64
		low, high float64
	}{
		{[]float64{5}, 5, 5},
		{[]float64{3, 1, 2}, 1, 3},
		{[]float64{1, 2, 3, 4, 5}, 1, 5},
		// One value on either side: the median is outside of the rest with a chance of 2 · (1 + 8) / 2⁸ = 0.07.
		{[]float64{8, 7, 6, 5, 4, 3, 2, 1}, 2, 7},
		// Two: 2 · (1 + 11 + 55) / 2¹¹ = 0.065.
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 3, 9},
	}
	for _, test := range tests {
		if low, high := interval(test.values); low != test.low || high != test.high {
			t.Errorf("%v: from %v to %v, want %v to %v", test.values, low, high, test.low, test.high)
		}
	}
}

func TestSummary(t *testing.T) {
	cpu := metric{Key: "cpu_us", Label: "CPU", Unit: "µs", Digits: 1}
	r := report{Scenarios: []scenarioResult{
		{
			Name: "h2-static-1", Title: "HTTP/2", Metrics: []metric{cpu}, Subjects: []string{"lb", "nginx", "caddy"},
			Samples: map[string][]sample{"lb": {{"cpu_us": 5}}, "nginx": {{"cpu_us": 10}}, "caddy": {{"cpu_us": 50}}},
		},
		{
			Name: "h2-static-32", Title: "HTTP/2 without Caddy", Metrics: []metric{cpu}, Subjects: []string{"lb"},
			Samples: map[string][]sample{"lb": {{"cpu_us": 5}}},
		},
		{
			Name: "proxy1k", Title: "Proxying", Metrics: []metric{cpu, {Key: "rps", Label: "rate"}}, Subjects: []string{"lb", "other", "nginx"},
			Samples: map[string][]sample{
				"lb":    {{"cpu_us": 9, "rps": 1}, {"cpu_us": 9.5}, {"cpu_us": 11}},
				"other": {{"cpu_us": 7}, {"cpu_us": 7}, {"cpu_us": 7.5}},
				"nginx": {{"cpu_us": 10}, {"cpu_us": 10}, {"cpu_us": 10}},
			},
		},
		{
			Name: "idle1000", Title: "Idle", Metrics: []metric{{Key: "bytes_1s", Label: "growth", Unit: "bytes"}}, Subjects: []string{"lb", "nginx"},
			Samples: map[string][]sample{"lb": {{"bytes_1s": 2000}, {"bytes_1s": 3000}, {"bytes_1s": 900}}, "nginx": {{"bytes_1s": 600}, nil, nil}},
		},
		{
			Name: "beside-profile", Title: "Profile", Metrics: []metric{{Key: "busy_p99_us", Label: "p99", Unit: "µs"}}, Subjects: []string{"lb"},
			Samples: map[string][]sample{"lb": {{"busy_p99_us": 50}}},
		},
	}}
	r.Verdicts = judgeAll(r.Scenarios)
	var out strings.Builder
	writeSummary(&out, r)
	for _, want := range []string{
		"| work | figure | lb | nginx | caddy | other | target |\n",
		"| HTTP/2 | CPU, µs | 0.50 (0.50–0.50) **undecided** | 10.0 µs | 5.00 (5.00–5.00) | – | ≤ 1.00 × nginx |\n",
		"| HTTP/2 | CPU, µs | 0.10 (0.10–0.10) **undecided** | 0.20 (0.20–0.20) | 50.0 µs | – | ≤ 0.25 × caddy |\n",
		"| HTTP/2 without Caddy | CPU, µs | 5.0 µs (5.0–5.0) | – | – | – | |\n",
		"| Proxying | CPU, µs | 0.95 (0.90–1.10) **not met** | 10.0 µs | – | 0.70 (0.70–0.75) **met** | ≤ 0.78 × nginx |\n",
		"| Idle | growth, bytes | 2000 bytes (900–3000) **undecided** | 600 bytes (600–600) | – | – | ≤ 1024 |\n",
		"| Profile | p99, µs | 50 µs (50–50) | – | – | – | |\n",
		"Targets of lb: 0 met, 1 not met, 3 undecided.\nTargets of other: 1 met, 0 not met, 0 undecided.\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Count(out.String(), "without Caddy") != 1 {
		t.Errorf("the summary has a target for a peer that took no part:\n%s", out.String())
	}
	if strings.Contains(out.String(), "rate") {
		t.Errorf("the summary has a metric without a target that is not the scenario's first:\n%s", out.String())
	}
}
