//go:build e2e

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The settings that limit what a client may see; the lowest values, as reloads change some.
const (
	attempts      = 2               // retry.attempts
	shortestReply = 1 * time.Second // timeouts.response
	shortestIdle  = 1 * time.Second // timeouts.idle
	// slack is the largest delay between a fault and its effect, and the interval of the samples.
	slack = 300 * time.Millisecond
)

// line is the access log's line of a request that lb responded to itself.
type line struct {
	ID      string `json:"request_id"`
	Backend string `json:"backend"`
	Status  int    `json:"status"`
	Tries   int    `json:"tries"`
	Error   string `json:"error"`
}

// evidence is what is known about a request from other sources than its client.
type evidence struct {
	arrivals []arrival
	logged   *line // nil: nothing
	// harmed returns the faults of a backend, by its address or name, between two moments.
	harmed func(backend string, from, to time.Time) []kind
	// usable is the least number of usable backends, exhausted and refused whether the pool's retry budget
	// was exhausted and its queue refused requests, between two moments.
	usable             func(from, to time.Time) int
	exhausted, refused func(from, to time.Time) bool
	// outage reports whether there was none at some time between them, and stalled whether the backends, which are in this process, stood still.
	outage, stalled func(from, to time.Time) bool
}

// judge names the rule that allows an outcome; ok is false if none does.
func judge(o *outcome, e *evidence) (why string, ok bool) {
	switch {
	case o.wrong != "":
		return o.wrong, false
	case !o.idempotent() && len(e.arrivals) > 1:
		return fmt.Sprintf("a POST reached backends %d times", len(e.arrivals)), false
	case o.left():
		return "the client left", true
	case o.status == 0:
		return fmt.Sprint(o.err), false
	case !o.whole:
		return judgeCut(o, e)
	case o.origin != "":
		return judgeResponse(o, e)
	case e.logged == nil || e.logged.Status != o.status:
		return fmt.Sprintf("status %d is not in the access log", o.status), false
	case o.status == 502:
		return judgeBadGateway(o, e)
	case o.status == 503:
		return judgeUnavailable(o, e)
	case o.status == 504:
		return judgeTimeout(o, e)
	}
	return fmt.Sprintf("status %d", o.status), false
}

// judgeResponse allows a whole response of a backend that read the whole request.
func judgeResponse(o *outcome, e *evidence) (string, bool) {
	for _, a := range e.arrivals {
		if a.backend.name == o.origin && a.whole && a.begun {
			if o.status == 200 {
				return "responded", true
			}
			return "the backend's own 503", true
		}
	}
	return "a response that no backend gave", false
}

// judgeCut allows a response to end early only if the backend's did, or stalled for longer than the idle timeout.
func judgeCut(o *outcome, e *evidence) (string, bool) {
	if o.origin == "" {
		return fmt.Sprintf("lb's own %d is not whole: %v", o.status, o.err), false
	}
	faults := e.harmed(o.origin, o.start.Add(-slack), o.end)
	if ends(faults) {
		return "cut in its body by the backend", true
	}
	if slices.Contains(faults, hang) && o.end.Sub(o.start) >= shortestIdle {
		return "its backend hung in its body", true
	}
	return fmt.Sprintf("cut, but %s had only %v: %v", o.origin, faults, o.err), false
}

// ends reports whether one of the faults ends connections.
func ends(faults []kind) bool {
	return slices.ContainsFunc(faults, func(k kind) bool { return k == reset || k == hiccup || k == die || k == cut })
}

func judgeBadGateway(o *outcome, e *evidence) (string, bool) {
	faults := e.harmed(e.logged.Backend, o.start.Add(-slack), o.end)
	spent, none := noMoreTries(o, e)
	if strings.Contains(e.logged.Error, "could not be reached") {
		// Nothing was sent, so any request must be retried on another backend.
		if !ends(faults) && !slices.Contains(faults, refuse) {
			return fmt.Sprintf("%s had only %v", e.logged.Backend, faults), false
		}
		return "refused; " + spent, none
	}
	if !ends(faults) {
		return fmt.Sprintf("%s had only %v", e.logged.Backend, faults), false
	}
	for _, a := range e.arrivals {
		if a.begun && a.backend.link.address == e.logged.Backend {
			return "cut in the head, or before a byte of the body went on", true
		}
	}
	switch {
	case !o.idempotent():
		return "a POST in flight on a backend that died", true
	case o.streamed():
		return "a large body in flight to a backend that died", true
	}
	return "died; " + spent, none
}

// noMoreTries returns the reason why a request was not retried.
func noMoreTries(o *outcome, e *evidence) (string, bool) {
	from, to := o.start.Add(-slack), o.end.Add(slack)
	switch {
	case strings.Contains(e.logged.Error, "not tried again: "):
		_, reason, _ := strings.Cut(e.logged.Error, "not tried again: ")
		return reason, true
	case e.logged.Tries > attempts:
		return "all tries were used", true
	case e.exhausted(from, to):
		return "the retry budget was spent", true
	case e.usable(from, to) <= 1:
		return "no other backend was usable", true
	case e.refused(from, to):
		return "the queue for another backend was full or too slow", true
	}
	return fmt.Sprintf("only %d tries", e.logged.Tries), false
}

func judgeUnavailable(o *outcome, e *evidence) (string, bool) {
	if strings.HasPrefix(e.logged.Error, "no ") {
		return "no usable backend", e.outage(o.start, o.end)
	}
	return "the queue: " + e.logged.Error, e.refused(o.start.Add(-slack), o.end.Add(slack))
}

func judgeTimeout(o *outcome, e *evidence) (string, bool) {
	faults := e.harmed(e.logged.Backend, o.start.Add(-slack), o.end)
	switch {
	case e.stalled(o.start, o.end):
		return "its backend got no processor for half of the timeout or longer", true
	case !slices.Contains(faults, hang):
		return fmt.Sprintf("%s had only %v", e.logged.Backend, faults), false
	case o.end.Sub(o.start) < shortestReply:
		return fmt.Sprintf("timed out after %v", o.end.Sub(o.start)), false
	}
	return "its backend hung for longer than the timeout", true
}
