package listener

import (
	"errors"

	"lb/internal/proxyprotocol"
	"lb/netloop"
)

var errUntrustedPeer = errors.New("peer is not among the trusted proxies")

// readHeader reads the client's address from the PROXY header, which must come first.
func (c *conn) readHeader() {
	o := c.opening
	for {
		buf := c.worker.Loop.Scratch()
		n := copy(buf, o.header)
		room := buf[n:]
		if c.listener.TLS { // what follows must stay in the socket for the handshake
			_, _, need, _ := proxyprotocol.Parse(o.header)
			room = room[:need]
		}
		k, err := c.Socket.Read(room)
		if err == netloop.ErrWouldBlock {
			return
		}
		if err != nil {
			c.refuseHeader(err)
			return
		}
		source, end, need, err := proxyprotocol.Parse(buf[:n+k])
		switch {
		case err != nil:
			c.refuseHeader(err)
			return
		case need > 0:
			o.header = append(o.header[:0], buf[:n+k]...)
			continue
		case source.IsValid():
			c.Info.Peer = source
		}
		o.header = nil
		c.admit(buf[end : n+k])
		return
	}
}

// refuseHeader closes a connection without a usable PROXY header.
func (c *conn) refuseHeader(err error) {
	c.listener.socket.set.log.Debug("no usable PROXY header", "peer", c.Info.Peer, "listener", c.listener.Address, "error", err)
	c.end()
}
