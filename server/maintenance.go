package server

import (
	"context"
	"os"
	"sync/atomic"
	"time"
)

// maintenanceSwitch follows whether a file exists.
type maintenanceSwitch struct {
	on     atomic.Bool
	path   string
	cancel context.CancelFunc
}

// maintenanceLook is how often the file is looked for.
const maintenanceLook = 250 * time.Millisecond

// watchMaintenance follows the files that the sites of g name.
func (s *Server) watchMaintenance(g *generation) {
	for i := range g.config.Sites {
		site := &g.config.Sites[i]
		path := ""
		if site.Maintenance != nil {
			path = site.Maintenance.File
		}
		g.sites[site.Name].sw.watch(s, site.Name, path)
	}
}

// watch follows path from now on; "" is never there.
func (m *maintenanceSwitch) watch(s *Server, site, path string) {
	if path == m.path {
		return
	}
	m.stop()
	m.path = path
	if path == "" {
		return
	}
	ctx, cancel := context.WithCancel(s.background)
	m.cancel = cancel
	look := func() {
		_, err := os.Stat(path)
		if exists := err == nil; m.on.Swap(exists) != exists {
			s.log.Info("maintenance switched", "site", site, "on", exists, "file", path)
		}
	}
	look()
	s.goRun(func() {
		tick := time.NewTicker(maintenanceLook)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				look()
			}
		}
	})
}

func (m *maintenanceSwitch) stop() {
	if m.cancel != nil {
		m.cancel()
		m.cancel = nil
	}
	m.path = ""
	m.on.Store(false)
}
