package telemetry

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// sample is the text of one series at one scrape; of a histogram, all its lines.
type sample struct {
	series
	text string
}

// WritePrometheus writes all series in the Prometheus text format, grouped by
// family with HELP and TYPE lines, and those of the process and the Go runtime with them.
// The error is the writer's.
func (r *Registry) WritePrometheus(w io.Writer) error {
	all := r.gather()
	all = gatherProcess(all)

	// A stable sort: where two scopes hold the same gauge, the newest is first and is shown.
	slices.SortStableFunc(all, func(a, b sample) int {
		return cmp.Or(strings.Compare(a.family, b.family), strings.Compare(a.labels, b.labels))
	})
	var out bytes.Buffer
	var last series
	for _, x := range all {
		if x.series == last {
			continue
		}
		if x.family != last.family {
			writeHead(&out, x.family)
		}
		out.WriteString(x.text)
		last = x.series
	}
	_, err := w.Write(out.Bytes())
	return err
}

// gather reads all series. Only their list is made under the lock, not the text: a request with a new status may be
// waiting for it.
func (r *Registry) gather() []sample {
	r.mu.Lock()
	scopes := slices.Clone(r.scopes)
	counters, loops, histograms := r.counters.values(), r.loops.values(), r.histograms.values()
	r.mu.Unlock()

	all := make([]sample, 0, len(counters)+len(loops)+len(histograms))
	for id, c := range counters {
		all = append(all, sample{id, id.String() + " " + strconv.FormatUint(c.Get(), 10) + "\n"})
	}
	for id, c := range loops {
		all = append(all, sample{id, id.String() + " " + strconv.FormatInt(c.Get(), 10) + "\n"})
	}
	for id, h := range histograms {
		all = append(all, sample{id, string(h.appendText(nil, id))})
	}
	for _, s := range slices.Backward(scopes) {
		var text strings.Builder
		s.gauges.WritePrometheus(&text)
		all = appendLines(all, text.String())
	}
	return all
}

// gatherProcess adds the library's series of the process and the runtime that the table of families has; promtool
// rejects the names of some others.
func gatherProcess(all []sample) []sample {
	var text strings.Builder
	metrics.WriteGoMetrics(&text)
	metrics.WriteProcMetrics(&text)
	metrics.WriteFDMetrics(&text)
	for _, x := range appendLines(nil, text.String()) {
		if base, isPart := strings.CutSuffix(x.family, "_sum"); isPart {
			x.family, x.labels = base, "~sum" // sorts after the quantiles
		} else if base, isPart := strings.CutSuffix(x.family, "_count"); isPart {
			x.family, x.labels = base, "~count"
		}
		if _, known := families[x.family]; known {
			all = append(all, x)
		}
	}
	return all
}

// appendLines splits the library's text, one line a series, into samples.
func appendLines(all []sample, text string) []sample {
	for line := range strings.Lines(text) {
		end := strings.LastIndexByte(line, ' ')
		if line[0] == '#' || end < 0 {
			continue
		}
		family, labels, _ := strings.Cut(line[:end], "{")
		all = append(all, sample{series{family, strings.TrimSuffix(labels, "}")}, line})
	}
	return all
}

func writeHead(out *bytes.Buffer, name string) {
	f, known := families[name]
	if !known {
		// A test keeps the table complete; showing a family that is missing there is better than losing it.
		f = family{gauge, "Not documented."}
		if strings.HasSuffix(name, "_total") {
			f.kind = counter
		}
	}
	out.WriteString("# HELP " + name + " " + f.help + "\n# TYPE " + name + " " + string(f.kind) + "\n")
}
