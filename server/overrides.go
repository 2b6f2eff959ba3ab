package server

import (
	"encoding/json"
	"fmt"
	"io"

	"lb/pool"
)

// sendOverrides writes what was set for the backends at run time, and holds back later changes until it is known
// which process they are for.
func (s *Server) sendOverrides(w io.Writer) error {
	s.changing.Lock()
	s.changesHeld = true
	overrides := map[string]map[string]pool.Override{}
	for name, run := range s.current.Load().pools {
		overrides[name] = run.pool.Overrides()
	}
	return json.NewEncoder(w).Encode(overrides)
}

func (s *Server) releaseChanges() {
	if s.changesHeld {
		s.changesHeld = false
		s.changing.Unlock()
	}
}

// changeBackend runs do, which changes a backend at run time, unless another process has taken over.
func (s *Server) changeBackend(do func()) error {
	s.changing.RLock()
	defer s.changing.RUnlock()
	if s.handedOver.Load() {
		return fmt.Errorf("%w: send it again", errHandedOver)
	}
	do()
	return nil
}

// restoreOverrides takes over what was set for the backends of the old process at run time. From then on the old process
// holds back changes of backends.
func (s *Server) restoreOverrides() {
	var overrides map[string]map[string]pool.Override
	err := s.taken.Overrides(func(r io.Reader) error { return json.NewDecoder(r).Decode(&overrides) })
	if err != nil { // the old process may have ended
		s.log.Error("cannot take over the admin states and weights set at run time", "error", err)
	}
	for name, run := range s.current.Load().pools {
		run.pool.Restore(overrides[name], "handed over")
	}
}
