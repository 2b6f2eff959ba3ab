package pool

// ReportDeath counts that a kept connection ended under a request. That is no failure in a row, as a Report of
// Reset would be: the backend may only have thought the connection idle.
func (b *Backend) ReportDeath() {
	if c := b.Metrics.errors[Reset]; c != nil {
		c.Inc()
	}
	b.failed.Add(1)
}

// Others reports whether a backend that is not in tried can be used, be it full at the moment.
func (p *Pool) Others(tried []*Backend) bool {
	for _, b := range p.snapshot.Load().usable {
		if !contains(tried, b) {
			return true
		}
	}
	return false
}
