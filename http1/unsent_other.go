//go:build !linux

package http1

import "lb/netloop"

// takeMore does nothing: listeners set no limit here.
func takeMore(*netloop.Socket) {}
