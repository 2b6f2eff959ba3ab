package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
)

// measureVariants measures a balancer in each variant of the scenario, in random order, one after the other. The
// sample has the CPU time and the memory of each, and the ratios of the CPU times to the first variant's. A variant that
// fails takes none of the others with it; one that does not start is not tried again.
func (b *bench) measureVariants(ctx context.Context, s scenario, e *entrant, values settings) (sample, error) {
	result := sample{}
	var failures []error
	if e.failed == nil {
		e.failed = make(map[string]bool)
	}
	for _, i := range rand.Perm(len(s.variants)) {
		v := s.variants[i]
		if e.failed[v.key] {
			continue
		}
		measured, err := b.measureVariant(ctx, s, v, e, values)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", v.label, err))
			e.failed[v.key], e.out = e.out, false
			continue
		}
		for key, value := range measured {
			if key != otherLoad {
				result[key+"_"+v.key] = value
			}
		}
		result[otherLoad] = max(result[otherLoad], measured[otherLoad])
	}
	first := result["cpu_us_"+s.variants[0].key]
	for _, v := range s.variants[1:] {
		if value, ok := result["cpu_us_"+v.key]; ok && first > 0 {
			result[ratioKey(v)] = value / first
		}
	}
	return result, errors.Join(failures...)
}

func (b *bench) measureVariant(ctx context.Context, s scenario, v variant, e *entrant, values settings) (sample, error) {
	s.log = v.log
	if v.path != "" {
		s.path = v.path
	}
	if v.backends > 0 {
		values.setBackends(values.Backends[:v.backends])
	}
	measure := s.measure
	s.measure = func(ctx context.Context, b *bench, s scenario, r *running) (sample, error) {
		measured, err := measure(ctx, b, s, r)
		if err != nil {
			return nil, err
		}
		rss, err := treeRSS(r.process.pid)
		measured["rss_mib"] = float64(rss) / mib
		return measured, err
	}
	return b.measureFresh(ctx, s, e, values)
}

// ratioKey is the metric that compares a variant's CPU time with the first variant's.
func ratioKey(v variant) string { return "cpu_ratio_" + v.key }
