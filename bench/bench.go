package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// bench is what all scenarios share.
type bench struct {
	options  options
	dir      string
	fleet    *fleet
	settings settings // to be completed by addresses
	wrk      wrk
	h2load   *h2load
	message  string // path of the body of a gRPC call
	nginx    string // program of the backend
	subjects []subject
	notes    []string
}

func prepare(ctx context.Context, o options, dir string, f *fleet) (*bench, error) {
	wrk, err := findWrk(dir)
	if err != nil {
		return nil, err
	}
	nginx, err := findProgram("nginx")
	if err != nil {
		return nil, fmt.Errorf("cannot do without nginx, the backend of the measurements: %w", err)
	}
	fixtures, err := writeFixtures(dir)
	if err != nil {
		return nil, err
	}
	raiseDescriptors(o.descriptors())
	common, err := commonSettings(o, fixtures, dir)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, fleet: f, settings: common, wrk: wrk, h2load: newH2load(), nginx: nginx}
	if b.message, err = writeGRPCMessage(dir); err != nil {
		return nil, fmt.Errorf("cannot write the gRPC message: %w", err)
	}
	b.subjects, b.notes = findSubjects(ctx, o, dir)
	if need := o.descriptors(); common.Descriptors < uint64(need) {
		b.notes = append(b.notes, fmt.Sprintf("the limit of descriptors is %d; the numbers that were asked for may need up to %d", common.Descriptors, need))
	}
	for _, note := range b.notes {
		fmt.Fprintln(os.Stderr, "bench:", note)
	}
	if len(b.subjects) == 0 {
		return nil, fmt.Errorf("no balancer to measure")
	}
	return b, nil
}

// entrant is a balancer in a scenario. Its instance is nil in scenarios that start one per measurement.
type entrant struct {
	subject  subject
	instance *running
	out      bool            // it failed, and is not measured again
	failed   map[string]bool // variants that did not start
}

// runScenario measures every balancer that can take part once a round, in an order of its own each round: in a fixed
// order what one leaves behind, on the machine or in the backend, would always fall on the same other one.
// The failure of one of them is recorded and does not prevent the measurement of the others.
func (b *bench) runScenario(ctx context.Context, s scenario) scenarioResult {
	result := newScenarioResult(s)
	stopBackend, values, err := b.startBackend(ctx, s)
	defer stopBackend()
	if err != nil {
		result.fail("the backend does not start: %v", err)
		return result
	}
	var entrants []*entrant
	for _, subject := range b.subjects {
		if !subject.can(s.need) {
			continue
		}
		result.Subjects = append(result.Subjects, subject.name)
		result.Samples[subject.name] = make([]sample, b.options.rounds)
		e := &entrant{subject: subject}
		entrants = append(entrants, e)
		if s.fresh || len(s.variants) > 0 {
			continue
		}
		if e.instance, err = b.enter(ctx, s, subject, values); err != nil {
			e.out = true
			result.fail("%s: %v", subject.name, err)
			continue
		}
		defer b.fleet.stop(e.instance.process)
	}
	for round := range b.options.rounds {
		for _, turn := range rand.Perm(len(entrants)) {
			e := entrants[turn]
			if ctx.Err() != nil {
				return result
			}
			if e.out {
				continue
			}
			measured, err := b.measure(ctx, s, e, values)
			if ctx.Err() != nil {
				return result
			}
			if err != nil {
				result.fail("%s, round %d: %v", e.subject.name, round+1, err)
			}
			if len(measured) == 0 {
				continue
			}
			result.Samples[e.subject.name][round] = measured
			first := s.metrics[0]
			fmt.Fprintf(os.Stderr, "bench: %s, round %d of %d, %s: %.*f %s\n", s.name, round+1, b.options.rounds,
				e.subject.name, first.Digits, measured[first.Key], first.Unit)
		}
	}
	return result
}

// measure takes one sample of an entrant. One that has ended, or does not start, is out.
func (b *bench) measure(ctx context.Context, s scenario, e *entrant, values settings) (sample, error) {
	if len(s.variants) > 0 {
		return b.measureVariants(ctx, s, e, values)
	}
	if s.fresh {
		return b.measureFresh(ctx, s, e, values)
	}
	return measureInstance(ctx, b, s, e, e.instance)
}

// measureFresh starts a balancer for this measurement alone.
func (b *bench) measureFresh(ctx context.Context, s scenario, e *entrant, values settings) (sample, error) {
	instance, err := b.enter(ctx, s, e.subject, values)
	if err != nil {
		e.out = true
		return nil, err
	}
	defer b.fleet.stop(instance.process)
	return measureInstance(ctx, b, s, e, instance)
}

func measureInstance(ctx context.Context, b *bench, s scenario, e *entrant, instance *running) (sample, error) {
	measured, err := s.measure(ctx, b, s, instance)
	select {
	case <-instance.process.exited:
		e.out = true
		return nil, fmt.Errorf("it ended during the measurement: %s", instance.process.logTail())
	default:
	}
	if err != nil {
		return nil, err
	}
	return measured, nil
}

// enter starts a balancer for a scenario and lets it warm up.
func (b *bench) enter(ctx context.Context, s scenario, subject subject, values settings) (*running, error) {
	var err error
	values.NoDelay, values.HTTP3, values.GRPC = s.noDelay, s.protocol == protocolHTTP3, s.grpc
	values.Content = slices.Contains(s.need, featureCompress) || slices.Contains(s.need, featureStore)
	for address, wanted := range map[*string]bool{
		&values.Address: true,
		// A command line with a place for an address needs one whether or not it is used.
		&values.TLSAddress: slices.Contains(s.need, featureTLS) || subject.template == "",
		&values.Admin:      s.admin || subject.template == "",
	} {
		if !wanted {
			continue
		}
		if *address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if s.log {
		values.AccessLog = filepath.Join(b.dir, subject.name+"-access.log")
		// Only the last round's log is kept, for -keep.
		if err := os.RemoveAll(values.AccessLog); err != nil {
			return nil, fmt.Errorf("cannot remove an old access log: %w", err)
		}
	}
	instance, err := subject.start(ctx, b.fleet, values, s)
	if err != nil {
		return nil, err
	}
	if s.fresh || b.options.warmUp == 0 {
		return instance, nil
	}
	if err := b.warmUp(ctx, s, instance, len(values.Backends)); err != nil {
		b.fleet.stop(instance.process)
		return nil, err
	}
	return instance, nil
}

// warmUp opens connections and lets pools grow. Many backends need longer, until each has had a request; those that rarely
// get one, until their connections are kept or closed as they will be from then on.
func (b *bench) warmUp(ctx context.Context, s scenario, r *running, backends int) error {
	duration := b.options.warmUp
	if backends >= 1000 {
		duration *= 4
	}
	_, err := b.generate(ctx, s, r, duration)
	if err == nil && len(s.variants) > 0 && s.rate > 0 {
		_, err = openLoop(ctx, r.address, s.path, s.clients(b.options), s.rate, 5*b.options.warmUp)
	}
	return err
}
