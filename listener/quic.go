package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"lb/http1"
	"lb/http3"
)

// quicSocket is the UDP socket of a listener, with its connections.
type quicSocket struct {
	socket    *socket
	packets   *packets
	transport *quic.Transport
	listener  *quic.Listener
	stopped   atomic.Bool
	watched   chan struct{} // closed when packets.watchOlder has returned
	turn      atomic.Uint32 // of the loop that gets the next connection

	handshakes handshakes     // in progress
	refused    netip.AddrPort // the client that was refused last; of admit, which is not called twice at a time
	running    sync.WaitGroup // accept, and the connections
}

// The flow control of QUIC, in bytes. A window grows while the client fills it and the exchange reads as fast.
const (
	firstStreamWindow = 256 << 10
	mostStreamWindow  = 6 << 20
	firstConnWindow   = 512 << 10
	mostConnWindow    = 9 << 20
	// mostGranted is how much the windows of all connections may have grown by.
	mostGranted = 128 << 20
)

const (
	// quicIdle is after how long without a packet from the client a connection has failed. Connections without requests end by idle_timeout.
	quicIdle = 60 * time.Second
	// quicPing is how often a packet is sent that the client has to acknowledge, so that it and what lies between remember the connection.
	quicPing = 20 * time.Second
	// mostUniStreams is how many unidirectional streams a client may have open at a time: it needs three, and may try others.
	mostUniStreams = 8
)

// bindUDP opens the UDP socket beside a listening TCP socket.
func bindUDP(o *ListenerOptions, beside net.Addr) (*net.UDPConn, error) {
	wanted, _ := wantedFamilies(o.Address, o.IPv6Only)
	network := "udp" + wanted.network()[len("tcp"):]
	at, ok := beside.(*net.TCPAddr)
	if !ok {
		return nil, &BindError{Address: o.Address, Reason: "HTTP/3 needs a port", Err: errors.ErrUnsupported, UDP: true}
	}
	udp, err := net.ListenUDP(network, &net.UDPAddr{IP: at.IP, Port: at.Port, Zone: at.Zone})
	if err == nil {
		return udp, nil
	}
	reason := "cannot open the UDP port for HTTP/3"
	if errors.Is(err, syscall.EADDRINUSE) {
		reason = "the UDP port is in use: stop the other program, or remove http3; an lb that was replaced keeps the port until its HTTP/3 connections have ended"
	}
	return nil, &BindError{Address: o.Address, Reason: reason, Err: err, UDP: true}
}

// bindQUIC opens the UDP sockets of the listeners that get HTTP/3, or none on an error. bound are the new TCP sockets. The caller holds
// s.mu.
func (s *Set) bindQUIC(o *Options, bound map[string]net.Listener) (map[string]*PacketSocket, error) {
	opened := map[string]*PacketSocket{}
	var failed []error
	for i := range o.Listeners {
		lo := &o.Listeners[i]
		k := s.sockets[lo.Address]
		var beside net.Addr
		switch {
		case !lo.HTTP3, k != nil && (k.quic != nil || k.udp != nil):
			continue
		case k != nil:
			beside = k.addr
		default:
			beside = bound[lo.Address].Addr()
		}
		if ending := s.endingQUIC[lo.Address]; ending != nil && ending.isBeside(beside) {
			from, err := ending.packets.share()
			if err != nil {
				failed = append(failed, fmt.Errorf("cannot use the UDP port of listener %q again: %w", lo.Address, err))
				continue
			}
			opened[lo.Address] = from
			continue
		}
		if inherited := o.InheritedPackets[lo.Address]; inherited != nil {
			opened[lo.Address] = inherited
			continue
		}
		udp, err := bindUDP(lo, beside)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		opened[lo.Address] = &PacketSocket{UDP: udp}
	}
	if len(failed) == 0 {
		return opened, nil
	}
	for _, from := range opened {
		from.Close()
	}
	return nil, errors.Join(failed...)
}

// configureQUIC begins or ends HTTP/3 on an open socket. from is for the case that it begins. The caller holds Set.mu.
func (k *socket) configureQUIC(o *ListenerOptions, from *PacketSocket) {
	switch {
	case !o.HTTP3:
		k.stopQUIC()
	case from == nil: // it is served already
	case k.accepting == nil:
		k.udp = from
	default:
		if err := k.serveQUIC(from); err != nil {
			from.Close()
			k.set.log.Error("cannot serve HTTP/3", "listener", k.address, "error", err)
		}
	}
}

// isBeside reports whether the socket has the port of a listening TCP socket.
func (q *quicSocket) isBeside(beside net.Addr) bool {
	tcp, isTCP := beside.(*net.TCPAddr)
	udp, isUDP := q.packets.LocalAddr().(*net.UDPAddr)
	return isTCP && isUDP && tcp.Port == udp.Port
}

// hasUDPPort reports whether the UDP port beside a TCP port is free.
func hasUDPPort(o *ListenerOptions, beside net.Addr) bool {
	udp, err := bindUDP(o, beside)
	if err == nil {
		udp.Close()
	}
	return err == nil
}

// serveQUIC begins to accept connections. The caller holds Set.mu.
func (k *socket) serveQUIC(from *PacketSocket) error {
	q := &quicSocket{socket: k, packets: newPackets(from), watched: make(chan struct{})}
	q.transport = &quic.Transport{
		Conn: q.packets, ConnectionIDGenerator: q.packets,
		VerifySourceAddress: q.mustProve, ConnContext: q.admit,
	}
	outer := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocolHTTP3},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if source := k.current.Load().tls; source != nil {
				return source.quicConfigFor(hello)
			}
			return nil, errRefused // it is being removed
		},
		GetEncryptedClientHelloKeys: func(hello *tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
			if source := k.current.Load().tls; source != nil {
				return source.echKeys(hello)
			}
			return nil, nil
		},
	}
	listener, err := q.transport.Listen(outer, q.config(k.current.Load()))
	if err != nil {
		_ = q.transport.Close() // its socket is closed by the caller
		return &BindError{Address: k.address, Reason: "cannot use the UDP port for HTTP/3", Err: err, UDP: true}
	}
	q.listener = listener
	k.quic = q
	advertised := fmt.Appendf(nil, "h3=\":%d\"; ma=86400", q.packets.LocalAddr().(*net.UDPAddr).Port)
	k.altSvc.Store(&advertised)
	q.running.Go(q.accept)
	go func() {
		defer close(q.watched)
		q.packets.watchOlder()
	}()
	return nil
}

// protocolHTTP3 is the ALPN name of HTTP/3 (RFC 9114 section 3.1).
const protocolHTTP3 = "h3"

// config is the configuration of connections.
func (q *quicSocket) config(l *Listener) *quic.Config {
	granted := &q.socket.set.granted
	return &quic.Config{
		HandshakeIdleTimeout: l.limits.HeaderTimeout / 2, // a handshake may take twice as long
		MaxIdleTimeout:       quicIdle, KeepAlivePeriod: quicPing,
		InitialStreamReceiveWindow: firstStreamWindow, MaxStreamReceiveWindow: mostStreamWindow,
		InitialConnectionReceiveWindow: firstConnWindow, MaxConnectionReceiveWindow: mostConnWindow,
		AllowConnectionWindowIncrease: func(c *quic.Conn, by uint64) bool {
			grown, ok := c.Context().Value(growthKey{}).(*growth)
			return ok && grown.add(granted, int64(by))
		},
		MaxIncomingStreams: http3.MostStreams, MaxIncomingUniStreams: mostUniStreams, RequireStreamCreditRelease: true,
	}
}

// accept takes the connections whose handshake has succeeded.
func (q *quicSocket) accept() {
	for {
		conn, err := q.listener.Accept(context.Background())
		if err != nil {
			return
		}
		h, _ := conn.Context().Value(handshakeKey{}).(*handshake)
		done := h.end(true)
		q.begin(conn, h.peer, done && h.counted)
	}
}

// refusedCode tells a client that it has too many connections, H3_EXCESSIVE_LOAD.
const refusedCode = 0x107

// begin serves a connection. counted says whether it is in Set.addresses.
func (q *quicSocket) begin(conn *quic.Conn, peer netip.AddrPort, counted bool) {
	k := q.socket
	k.metrics.accepted.Inc()
	l, s := k.current.Load(), k.set
	c := &quicConn{listener: l, socket: q, worker: s.workers[int(q.turn.Add(1))%len(s.workers)], counted: counted}
	c.info.Peer = peer
	state := conn.ConnectionState().TLS
	c.info.Listener = l
	c.info.TLS = &http1.TLS{Version: versionName(state.Version), ServerName: state.ServerName}
	if len(state.VerifiedChains) > 0 {
		c.info.TLS.ClientCert = clientCert(state.PeerCertificates[0])
	}
	reason := ""
	if s.open.Add(1) > int64(l.limits.MaxConnections) {
		reason = reasonConnections
	} else if n := l.limits.ConnectionsPerIP; n > 0 && !c.counted {
		if c.counted = s.addresses.enterAddress(c.info.Peer.Addr(), n); !c.counted {
			reason = reasonPerIP
		}
	}
	if reason != "" {
		s.open.Add(-1)
		if c.counted {
			s.addresses.leaveAddress(c.info.Peer.Addr())
		}
		s.metrics.rejected(reason)
		q.running.Go(func() { _ = conn.CloseWithError(refusedCode, "too many connections") })
		return
	}
	k.open.Add(1)
	c.Conn = http3.New(&c.worker.http3, conn, &l.http3, c, &c.info)
	c.worker.Loop.Post((*quicOpened)(c))
	q.running.Go(c.Serve)
}

// stop ends accepting, and the connections as their requests end. The socket is closed after the last one. The caller holds Set.mu.
func (q *quicSocket) stop() {
	s, address := q.socket.set, q.socket.address
	q.stopped.Store(true)
	s.endingQUIC[address] = q
	s.retiring.Go(func() {
		_ = q.listener.Close()
		<-s.eachQUIC(q, func(c *quicConn) { c.End() })
		q.running.Wait()
		q.packets.awaitAlone(s.cut)
		s.mu.Lock()
		if s.endingQUIC[address] == q {
			delete(s.endingQUIC, address)
		}
		s.mu.Unlock()
		_ = q.transport.Close()
		q.packets.close()
		<-q.watched
	})
}
