package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"
)

func success(t *testing.T, s scenario, algorithm string) float64 {
	t.Helper()
	r, err := run(s, algorithm, 1)
	if err != nil {
		t.Fatal(err)
	}
	return 100 * r.success
}

// TestOccasionallySlowBackend is the experiment that shows what the algorithms are for.
func TestOccasionallySlowBackend(t *testing.T) {
	s := slowHalfOfTheTime()
	s.length = time.Minute
	for _, c := range []struct {
		algorithm   string
		least, most float64
	}{
		{"round_robin", 94, 96},
		{"least_conn", 99, 100},
		{"peak_ewma", 99.8, 100},
	} {
		if got := success(t, s, c.algorithm); got < c.least || got > c.most {
			t.Errorf("%s: %.2f %% responded in time, want %v to %v", c.algorithm, got, c.least, c.most)
		}
	}
}

// TestFailingFast: a backend that fails at once has few requests in flight and must not get more because of that. Round
// robin, which would lose a twentieth of the requests, is the reference.
func TestFailingFast(t *testing.T) {
	s := flapping()
	s.length = 20 * time.Second
	for _, algorithm := range []string{"least_conn", "p2c", "peak_ewma"} {
		if got := success(t, s, algorithm); got < 99.5 {
			t.Errorf("%s: %.2f %%", algorithm, got)
		}
	}
}

func TestMixedSizes(t *testing.T) {
	s := mixedSizes()
	s.length = 10 * time.Second
	for _, algorithm := range []string{"least_conn", "peak_ewma"} {
		if got := success(t, s, algorithm); got < 99.8 {
			t.Errorf("%s: %.2f %%", algorithm, got)
		}
	}
}

func TestColdStart(t *testing.T) {
	s := coldStart()
	s.length = 35 * time.Second
	if even, peak := success(t, s, "round_robin"), success(t, s, "peak_ewma"); peak < 99.9 || peak <= even {
		t.Errorf("peak_ewma: %.2f %%, round_robin %.2f %%", peak, even)
	}
}

// All requests get a response, and a second run gives exactly the same result.
func TestSameSeedSameResult(t *testing.T) {
	s := slowTenth()
	s.length, s.balancers = 200*time.Millisecond, 5
	for _, algorithm := range algorithms() {
		a, errA := run(s, algorithm, 7)
		b, errB := run(s, algorithm, 7)
		if errA != nil || errB != nil || a != b {
			t.Errorf("%s: %+v, %v, then %+v, %v", algorithm, a, errA, b, errB)
		}
		if a.requests < 2_000 || a.requests > 2_400 {
			t.Errorf("%s: %d requests in a fifth of a second, at 11,000 a second", algorithm, a.requests)
		}
	}
	if _, err := run(s, "fastest", 7); err == nil {
		t.Error("no error for an algorithm that does not exist")
	}
}

func TestReport(t *testing.T) {
	r := row{scenario: slowHalfOfTheTime()}
	for i := range algorithms() {
		r.results = append(r.results, result{1000, 1 - float64(i)/100, time.Millisecond, 2345 * time.Millisecond})
	}
	if text := table([]row{r}); !strings.Contains(text, "| `least_conn` | 99.00 % | 1 | 2,345 |\n") {
		t.Errorf("the table:\n%s", text)
	}
	decoder := xml.NewDecoder(strings.NewReader(chart([]row{r})))
	for {
		if _, err := decoder.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v", err)
		}
	}
}
