package listener

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
)

const (
	// validatedFrom is from how many handshakes in progress on a client has to prove its address before it costs more than a packet (Retry,
	// RFC 9000 section 8.1.2).
	validatedFrom = 64
	// validatedEach is the same for the handshakes of one address.
	validatedEach = 8
	// mostHandshakes is how many handshakes of a listener may be in progress; further ones are refused.
	mostHandshakes = 1024
	// mostHandshakesEach is the same for the handshakes of one address. Those whose address may be forged are not refused by it, so that
	// nobody can lock out another one; validatedEach bounds them.
	mostHandshakesEach = 64
)

// handshakes are the handshakes in progress of a UDP socket.
type handshakes struct {
	mu    sync.Mutex
	total int
	each  map[netip.Addr]int // by the addresses of clients, see network
}

// network is the part of an address that one client has: of IPv6, the first 64 bits.
func network(a netip.Addr) netip.Addr {
	if p, err := a.Prefix(64); err == nil && a.Is6() {
		return p.Addr()
	}
	return a
}

// add adds n to the handshakes of an address, and returns how many there are then, and of all addresses.
func (h *handshakes) add(a netip.Addr, n int) (each, total int) {
	a = network(a)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total += n
	each = h.each[a] + n
	if each > 0 {
		if h.each == nil {
			h.each = map[netip.Addr]int{}
		}
		h.each[a] = each
	} else {
		delete(h.each, a)
	}
	return each, h.total
}

// quicPeer returns the address of a client.
func quicPeer(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := udp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// mustProve reports whether a client has to prove its address. It is called with the first packet of a connection.
func (q *quicSocket) mustProve(from net.Addr) bool {
	peer := quicPeer(from).Addr()
	if each, total := q.handshakes.add(peer, 0); total >= validatedFrom || each >= validatedEach {
		return true
	}
	n := q.socket.current.Load().limits.ConnectionsPerIP
	return n > 0 && q.socket.set.addresses.isFull(peer, n) // so that its next connection costs no handshake
}

// errRefused is why a connection is refused before its handshake.
var errRefused = errors.New("too many connections")

// admit is called after mustProve, with a packet of a client that has proved its address if it had to. Otherwise the address may be forged.
func (q *quicSocket) admit(ctx context.Context, client *quic.ClientInfo) (context.Context, error) {
	s, l := q.socket.set, q.socket.current.Load()
	h := &handshake{socket: q, peer: quicPeer(client.RemoteAddr)}
	reason := ""
	each, total := q.handshakes.add(h.peer.Addr(), 1)
	switch n := l.limits.ConnectionsPerIP; {
	case total > mostHandshakes || s.open.Load()+int64(total) > int64(l.limits.MaxConnections):
		reason = reasonConnections
	case client.AddrVerified && each > mostHandshakesEach:
		reason = reasonPerIP
	case client.AddrVerified && n > 0:
		if h.counted = s.addresses.enterAddress(h.peer.Addr(), n); !h.counted {
			reason = reasonPerIP
		}
	}
	if reason != "" {
		q.handshakes.add(h.peer.Addr(), -1)
		if q.refused != h.peer { // a ClientHello may need several packets
			s.metrics.rejected(reason)
		}
		q.refused = h.peer
		return nil, errRefused
	}
	q.refused = netip.AddrPort{}
	grown := &growth{}
	context.AfterFunc(ctx, func() {
		h.end(false)
		grown.end(&s.granted)
	})
	ctx = context.WithValue(ctx, growthKey{}, grown)
	return context.WithValue(ctx, handshakeKey{}, h), nil
}

// handshake is one that is in progress.
type handshake struct {
	socket  *quicSocket
	peer    netip.AddrPort
	counted bool // in Set.addresses, until the connection takes that over or the handshake fails
	ended   atomic.Bool
}

// handshakeKey is the key of a connection's context for its handshake.
type handshakeKey struct{}

// end counts the end of a handshake. It reports false if it was called before.
func (h *handshake) end(done bool) bool {
	if h.ended.Swap(true) {
		return false
	}
	h.socket.handshakes.add(h.peer.Addr(), -1)
	k := h.socket.socket
	if done {
		k.metrics.handshakeDone.Inc()
		return true
	}
	k.metrics.handshakeFailed.Inc()
	if h.counted {
		k.set.addresses.leaveAddress(h.peer.Addr())
	}
	return true
}
