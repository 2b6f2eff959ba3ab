package server

import (
	"lb/http1"
	"lb/http3"
	"lb/proxy"
)

// serveHTTP3 is serve for HTTP/3.
func (s *Server) serveHTTP3(stream *http3.Stream) {
	c := stream.Conn()
	loop := c.Worker().Loop.Index()
	s.protocols[onHTTP3].Add(loop, 1)
	in := s.inbound(c.Info.(*http1.Info))
	in.AltSvc = nil // the client is there already
	s.handler.Serve(s.workers[loop], stream, in, func(x *proxy.Exchange) { stream.Exchange = x })
}
