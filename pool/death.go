package pool

import "slices"

// ReportDeath counts that a kept connection ended under a request. That is no failure in a row, as a Report of
// Reset would be: the backend may only have thought the connection idle.
func (b *Backend) ReportDeath() {
	if c := b.Metrics.errors[Reset]; c != nil {
		c.Inc()
	}
	b.failed.Add(1)
}

// ReportExhausted counts that no connection could be made for want of something on this host. It says nothing of the backend.
func (b *Backend) ReportExhausted() {
	if c := b.Metrics.errors[Connect]; c != nil {
		c.Inc()
	}
	b.failed.Add(1)
}

// ReportUnfit counts a response that was refused for what an application, or the request, put into its head. As the next
// request may get a good one, and a client could have backends ejected otherwise, it is no failure in a row.
func (b *Backend) ReportUnfit() {
	if c := b.Metrics.errors[Protocol]; c != nil {
		c.Inc()
	}
	b.failed.Add(1)
}

// Others reports whether a backend that is not in tried can be used, even if it is full at the moment.
func (p *Pool) Others(tried []*Backend) bool {
	untried := func(b *Backend) bool { return !contains(tried, b) }
	s := p.snapshot.Load()
	return slices.ContainsFunc(s.usable, untried) || slices.ContainsFunc(s.spare, untried)
}
