package server

import (
	"net/netip"
	"time"

	"lb/admin"
	"lb/filter"
)

// adminBans lets an administrator ban clients. Bans outlast reloads.
func (s *Server) adminBans() *admin.Bans {
	return &admin.Bans{
		List: func() []admin.Ban {
			list := []admin.Ban{}
			for _, b := range s.handler.Bans.List(time.Now()) {
				list = append(list, admin.Ban(b))
			}
			return list
		},
		Set: func(b admin.Ban) error {
			err := s.handler.Bans.Set(filter.Ban(b), time.Now())
			if err == nil {
				s.log.Info("banned", "network", b.Network, "until", b.Until.Format(time.RFC3339), "reason", b.Reason)
			}
			return err
		},
		Lift: func(p netip.Prefix) bool {
			lifted := s.handler.Bans.Lift(p, time.Now())
			if lifted {
				s.log.Info("ban lifted", "network", p)
			}
			return lifted
		},
	}
}
