package main

import (
	"math"
	"slices"
)

// summary describes the values of one metric over the rounds.
type summary struct {
	Count  int     `json:"count"`
	Median float64 `json:"median"`
	MAD    float64 `json:"mad"` // median of the absolute deviations from the median
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summarize returns the zero summary for no values. It does not change values.
func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	center := median(values)
	deviations := make([]float64, len(values))
	for i, v := range values {
		deviations[i] = math.Abs(v - center)
	}
	return summary{len(values), center, median(deviations), slices.Min(values), slices.Max(values)}
}

// relativeMAD is the MAD as a share of the median; 0 for a median of 0.
func (s summary) relativeMAD() float64 {
	if s.Median == 0 {
		return 0
	}
	return math.Abs(s.MAD / s.Median)
}

// median is the middle value, or the mean of the two middle ones; NaN for no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// interval contains the true median of the distribution of the values in nine of ten cases, for any
// distribution: between two of the values, of which each is as likely to be above it as below (an order-statistic
// interval). Fewer than five values are too few for nine of ten: it is then from the lowest to the highest.
func interval(values []float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	outside, chance, skip := 0.0, math.Pow(0.5, float64(n)), 0
	for i := range n / 2 {
		// chance is that of exactly i values below the median, and as much that of i above it.
		outside += 2 * chance
		if outside > 0.1 {
			break
		}
		skip = i
		chance *= float64(n-i) / float64(i+1)
	}
	return sorted[skip], sorted[n-1-skip]
}

// valuesOf collects a metric from the rounds that have it.
func valuesOf(samples []sample, key string) []float64 {
	var values []float64
	for _, s := range samples {
		if v, ok := s[key]; ok {
			values = append(values, v)
		}
	}
	return values
}

// pairedRatios divides round by round: what disturbed a round disturbed both, and cancels out better than
// it would between two medians. Rounds that lack either value, or have a peer of 0, are skipped.
func pairedRatios(samples, peer []sample, key string) []float64 {
	var ratios []float64
	for i := range min(len(samples), len(peer)) {
		v, ok := samples[i][key]
		p, peerOK := peer[i][key]
		if ok && peerOK && p != 0 {
			ratios = append(ratios, v/p)
		}
	}
	return ratios
}
