package pool

import "slices"

// ReportStaleConn counts that a kept connection ended during a request. Unlike a Report of Reset it is no failure in
// a row, since the backend may have closed it as idle.
func (b *Backend) ReportStaleConn() {
	if c := b.Metrics.errors[Reset]; c != nil {
		c.Inc()
	}
	b.failed.Add(1)
}

// ReportExhausted counts that no connection could be made for lack of a resource of this host. It says nothing about
// the backend.
func (b *Backend) ReportExhausted() {
	if c := b.Metrics.errors[Connect]; c != nil {
		c.Inc()
	}
	b.failed.Add(1)
}

// ReportUnfit counts a response that was rejected for fields that an application, or the request, put into its head.
// It is no failure in a row, since the next response may be good, and a client could have backends ejected otherwise.
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
