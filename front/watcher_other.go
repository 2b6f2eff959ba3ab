//go:build !linux

package front

import (
	"errors"
	"net"
)

// watcher is for Linux only; without it no connection is parked.
type watcher struct{}

func (*watcher) start() error                     { return errors.ErrUnsupported }
func (*watcher) run(func(uint64))                 {}
func (*watcher) stop()                            {}
func (*watcher) add(net.Conn, uint64, bool) error { return errors.ErrUnsupported }
func (*watcher) again(net.Conn, uint64) error     { return errors.ErrUnsupported }
func (*watcher) remove(net.Conn)                  {}
