package filter

import (
	"net/http"
	"sync/atomic"
)

// Maintenance refuses everything while it is on.
type Maintenance struct{ On *atomic.Bool }

var underMaintenance = &Refusal{Status: http.StatusServiceUnavailable, Reason: "the site is under maintenance", Rejected: "maintenance"}

// Request implements Request.
func (m *Maintenance) Request(Exchange) Verdict {
	if m.On.Load() {
		return Refuse(underMaintenance)
	}
	return Pass
}
