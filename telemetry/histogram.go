package telemetry

import "time"

// Histogram counts durations in fixed buckets without a lock and without allocating.
type Histogram struct{}

// Observe adds one duration; a negative one counts as zero.
func (h *Histogram) Observe(d time.Duration) { panic("todo") }

// CodeCounters counts by exact HTTP status without a lock and without allocating
// once a status has been seen.
type CodeCounters struct{}

// Inc counts one response with that status. A status outside 100–999 counts as 0.
func (c *CodeCounters) Inc(status int) { panic("todo") }

// Total returns the sum over all statuses.
func (c *CodeCounters) Total() uint64 { panic("todo") }
