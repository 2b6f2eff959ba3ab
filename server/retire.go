package server

import (
	"sync"
	"time"
)

// retireBackends closes the pools and directories of the old generation that the new one does not use: at once, or when no request of
// the old one waits before its backend is chosen.
func (s *Server) retireBackends(old, g *generation) {
	var unused []func()
	for name, run := range old.pools {
		if g.pools[name] != run {
			unused = append(unused, func() {
				run.close()
				s.goRun(run.wait)
			})
		}
	}
	for _, dir := range old.dirs {
		unused = append(unused, func() { _ = dir.Close() })
	}
	if len(unused) == 0 {
		return
	}
	end := sync.OnceFunc(func() {
		for _, f := range unused {
			f()
		}
	})
	if old.state.Unused(s.loops.All()) {
		end()
		return
	}
	s.retiring = append(s.retiring, end)
	s.goRun(func() {
		tick := time.NewTicker(retireEvery)
		defer tick.Stop()
		for !old.state.Unused(s.loops.All()) {
			select {
			case <-tick.C:
			case <-s.background.Done():
				end()
				return
			}
		}
		end()
	})
}

// retireEvery is how often a replaced generation is checked for requests that still need it.
const retireEvery = 50 * time.Millisecond

// endRetiring closes what is left of older generations, whether requests need it or not.
func (s *Server) endRetiring() {
	for _, end := range s.retiring {
		end()
	}
	s.retiring = nil
}
