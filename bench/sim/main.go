// Command sim compares the balancing algorithms on fleets that no test machine holds: the real pickers on the real
// backends' counts, with simulated time and backends.
//
//	go run ./bench/sim                                a table on stdout
//	go run ./bench/sim -chart docs/balancing.svg      and a chart
//
// The same seed gives the same figures on every machine.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	seed := flag.Uint64("seed", 1, "what chance begins with")
	chartFile := flag.String("chart", "", "write an SVG chart of the failures to this file")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "sim: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := report(*seed, *chartFile); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

func report(seed uint64, chartFile string) error {
	var rows []row
	for _, s := range scenarios() {
		r := row{scenario: s}
		for _, algorithm := range algorithms() {
			result, err := run(s, algorithm, seed)
			if err != nil {
				return err
			}
			r.results = append(r.results, result)
		}
		rows = append(rows, r)
	}
	fmt.Print(table(rows))
	if chartFile == "" {
		return nil
	}
	if err := os.WriteFile(chartFile, []byte(chart(rows)), 0o644); err != nil {
		return fmt.Errorf("cannot write the chart: %w", err)
	}
	return nil
}
