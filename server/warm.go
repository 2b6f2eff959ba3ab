package server

import (
	"slices"
	"time"

	"lb/staticcache"
)

// warmEvery is how often the log says how far a warm-up has come.
const warmEvery = 5 * time.Second

// warmUp reads the files of routes with warm_up into memory, one directory after the other. old is the generation before; nil: none. A
// directory that it served as well is warm.
func (s *Server) warmUp(g, old *generation) {
	var cold []*staticcache.Dir
	for _, dir := range g.warm {
		if old == nil || !slices.Contains(old.warm, dir) {
			cold = append(cold, dir)
		}
	}
	if len(cold) == 0 {
		return
	}
	s.goRun(func() {
		log := s.log.Named("static")
		for _, dir := range cold {
			start := time.Now()
			next := start.Add(warmEvery)
			log.Info("warming up", "root", dir.Root())
			done, err := dir.WarmUp(s.background, func(w staticcache.Warmed) {
				if now := time.Now(); now.After(next) {
					next = now.Add(warmEvery)
					log.Info("warming up", "root", dir.Root(), "files", w.Files, "bytes", w.Bytes)
				}
			})
			switch {
			case err != nil:
				log.Warn("cannot warm up; files are read when they are requested", "root", dir.Root(), "error", err)
			case done.Full:
				log.Warn("warmed up in part: the memory is full; raise static_cache.memory, or warm up fewer directories",
					"root", dir.Root(), "files", done.Files, "bytes", done.Bytes)
			default:
				log.Info("warmed up", "root", dir.Root(), "files", done.Files, "bytes", done.Bytes, "took", time.Since(start).Round(time.Millisecond))
			}
		}
	})
}
