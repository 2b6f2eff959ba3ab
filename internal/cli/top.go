package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// Top shows the pools of a running lb repeatedly.
type Top struct {
	Client   *Client
	Interval time.Duration // between two samples
	Rounds   int           // number of samples; 0: until ctx ends
}

// sampleTimeout is how long one sample may take.
const sampleTimeout = 5 * time.Second

// round is a sample or an error.
type round struct {
	sample *Sample
	err    error
}

func (t *Top) look(ctx context.Context) round {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	s, err := t.Client.Sample(ctx)
	return round{s, err}
}

// Print writes one table after another. The first comes after one interval, since there are no rates before that. A
// failed sample is reported and the next is tried; the error is that of the very first or of the last sample.
func (t *Top) Print(ctx context.Context, w io.Writer) error {
	last := t.look(ctx)
	if last.err != nil {
		return last.err
	}
	old := last.sample
	tick := time.NewTicker(t.Interval)
	defer tick.Stop()
	for n := 0; t.Rounds == 0 || n < t.Rounds; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if last = t.look(ctx); ctx.Err() != nil {
			return nil
		}
		if err := t.print(w, old, last); err != nil {
			return fmt.Errorf("cannot write the table: %w", err)
		}
		if last.err == nil {
			old = last.sample
		}
	}
	return last.err
}

func (t *Top) print(w io.Writer, old *Sample, r round) error {
	now := time.Now().Format(time.TimeOnly)
	if r.err != nil {
		_, err := fmt.Fprintf(w, "%s  no response, retrying: %v\n\n", now, r.err)
		return err
	}
	since := ratesSince(old, r.sample)
	header, rows := topText(topLines(r.sample, since), 0, false)
	text := fmt.Sprintf("%s  %s\n%s\n%s\n", now, titleText(t.Client.Addr, r.sample), summaryText(r.sample, since), header)
	for _, row := range rows {
		text += row + "\n"
	}
	_, err := io.WriteString(w, text+"\n")
	return err
}

// Show fills the terminal until ctx ends, q is pressed or all rounds are done, and restores it then. An error of the
// very first sample is returned before anything is shown.
func (t *Top) Show(ctx context.Context, in, out *os.File) error {
	first := t.look(ctx)
	if first.err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return first.err
	}
	term, err := openTerminal(in, out)
	if err != nil {
		return err
	}
	defer term.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	v := view{title: t.Client.Addr, colours: os.Getenv("NO_COLOR") == ""}
	rounds := make(chan round)
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		defer term.restoreOnPanic()
		t.sample(ctx, rounds)
	}()
	defer func() { cancel(); <-sampled }()
	v.take(first)
	for n := 1; t.Rounds == 0 || n <= t.Rounds; {
		if err := term.draw(v.frame(term.size())); err != nil {
			return fmt.Errorf("cannot write to the terminal: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case r := <-rounds:
			v.take(r)
			n++
		case k := <-term.keys:
			if k == keyQuit {
				return nil
			}
			v.press(k)
		case <-term.resized:
		}
	}
	return v.failed
}

// sample takes a sample each interval until ctx ends.
func (t *Top) sample(ctx context.Context, rounds chan<- round) {
	tick := time.NewTicker(t.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case rounds <- t.look(ctx):
		case <-ctx.Done():
			return
		}
	}
}
