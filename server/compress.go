package server

import (
	"lb/config"
	"lb/filter"
	"lb/internal/coding"
	"lb/staticcache"
)

// compressor returns what compresses the responses of a route; nil: nothing.
func (s *Server) compressor(c *config.Compress) *filter.Compress {
	if c == nil {
		return nil
	}
	return &filter.Compress{Types: coding.NewTypes(c.Types), MinSize: c.MinSize, Level: c.Level, Encoders: &s.encoders}
}

func cacheControls(list []config.CacheControl) (out []staticcache.CacheControl) {
	for _, c := range list {
		out = append(out, staticcache.CacheControl(c))
	}
	return out
}
