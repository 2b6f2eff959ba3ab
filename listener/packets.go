package listener

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"

	"lb/internal/descriptor"
)

// packets is a UDP socket from which quic-go reads. When another process takes over, both have the same socket, and a packet may be read by
// the one that does not have its connection. So the connection ids of a process begin with a tag of its own: the newer process reads the
// socket and sends what has the tag of the older one to it, by a link, and the older one reads that. Both write to the socket. It is the
// same within a process when HTTP/3 is removed and added again while connections end.
type packets struct {
	*net.UDPConn
	batch *ipv4.PacketConn
	tag   tag
	older atomic.Pointer[link] // to the process before; nil: it has no connections, or there was none
	alone chan struct{}        // closed when the process before has ended; nil: there was none
	newer atomic.Pointer[link] // from the process after; nil: this one reads the socket

	mu       sync.Mutex // guards changes of newer, and what follows
	deadline time.Time  // of the reading
	closed   bool
}

// tag begins the connection ids of a process.
type tag [tagSize]byte

const (
	tagSize = 2
	idSize  = 8 // of a connection id; what follows the tag is random
)

// PacketSocket is a UDP socket, of another process that hands it over if there is a link.
type PacketSocket struct {
	UDP  *net.UDPConn
	Link *net.UnixConn // to that process; nil: there is none
	Tags []byte        // of the connections that it has, or forwards packets to
}

// Close closes the socket.
func (s *PacketSocket) Close() {
	_ = s.UDP.Close()
	if s.Link != nil {
		_ = s.Link.Close()
	}
}

func newPackets(from *PacketSocket) *packets {
	p := &packets{UDPConn: from.UDP, batch: ipv4.NewPacketConn(from.UDP)}
	for {
		_, _ = rand.Read(p.tag[:]) // it never fails
		if !hasTag(p.tag[:], from.Tags) {
			break
		}
	}
	if from.Link != nil {
		p.alone = make(chan struct{})
		p.older.Store(&link{UnixConn: from.Link, tags: from.Tags, buffer: make([]byte, mostMessage)})
		trySend(from.Link, serving)
	}
	return p
}

// awaitAlone returns when no other process needs this one to forward packets, or when cut is closed.
func (p *packets) awaitAlone(cut <-chan struct{}) {
	if p.alone == nil {
		return
	}
	select {
	case <-p.alone:
	case <-cut:
	}
}

// watchOlder waits for the end of the process before, which sends nothing.
func (p *packets) watchOlder() {
	if older := p.older.Load(); older != nil {
		var none [1]byte
		_, _ = older.Read(none[:])
		close(p.alone)
		if p.older.CompareAndSwap(older, nil) {
			_ = older.Close()
		}
	}
}

// tags returns the tags of the connections of this process, and of those before.
func (p *packets) tags() []byte {
	tags := bytes.Clone(p.tag[:])
	if older := p.older.Load(); older != nil {
		tags = append(tags, older.tags...)
	}
	return tags
}

// handOver has the packets come from the process that has taken over.
func (p *packets) handOver(from *net.UnixConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = from.Close()
		return
	}
	p.newer.Store(&link{UnixConn: from, buffer: make([]byte, mostMessage)})
	_ = p.UDPConn.SetReadDeadline(time.Unix(1, 0)) // ends the read that waits
}

// takeBack has the packets come from the socket again, because the process that has taken over has closed it without serving.
func (p *packets) takeBack(newer *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newer.CompareAndSwap(newer, nil) {
		_ = newer.Close()
		_ = p.UDPConn.SetReadDeadline(p.deadline)
	}
}

// SetReadDeadline is called when the reading is to end.
func (p *packets) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if newer := p.newer.Load(); newer != nil {
		return newer.SetReadDeadline(t)
	}
	return p.UDPConn.SetReadDeadline(t)
}

// close closes the socket and the links.
func (p *packets) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	_ = p.Close()
	for _, l := range [...]*link{p.older.Swap(nil), p.newer.Load()} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// ReadBatch reads packets, as quic-go wants it. Those that were forwarded are left empty, which quic-go ignores: it may keep the buffers.
func (p *packets) ReadBatch(ms []ipv4.Message, flags int) (n int, err error) {
	for {
		newer := p.newer.Load()
		if newer != nil {
			if n, err = newer.read(ms); err == io.EOF && !newer.serves {
				p.takeBack(newer)
				continue
			}
		} else {
			n, err = p.batch.ReadBatch(ms, flags)
		}
		if err != nil {
			if newer == nil && p.newer.Load() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
				continue // see handOver
			}
			return n, err
		}
		if older := p.older.Load(); older != nil {
			p.forward(older, ms[:n])
		}
		return n, nil
	}
}

// forward sends those packets to the older process that are for its connections.
func (p *packets) forward(older *link, ms []ipv4.Message) {
	for i := range ms {
		m := &ms[i]
		if !isTagged(m.Buffers[0][:m.N], older.tags) {
			continue
		}
		older.write(m)
		m.N, m.NN = 0, 0
	}
}

// isTagged reports whether the connection id that a packet is for begins with one of the tags (RFC 8999 section 5).
func isTagged(packet, tags []byte) bool {
	const long, idAt = 0x80, 6
	id := packet
	switch {
	case len(packet) < idAt+idSize:
		return false
	case packet[0]&long == 0:
		id = packet[1:]
	case packet[idAt-1] != idSize:
		return false
	default:
		id = packet[idAt:]
	}
	return hasTag(id, tags)
}

// hasTag reports whether a connection id begins with one of the tags.
func hasTag(id, tags []byte) bool {
	for ; len(tags) >= tagSize; tags = tags[tagSize:] {
		if bytes.Equal(id[:tagSize], tags[:tagSize]) {
			return true
		}
	}
	return false
}

// PacketFiles are a UDP socket for another process.
type PacketFiles struct {
	UDP  *os.File
	Link *os.File
	Tags []byte
}

// Close closes the files.
func (f *PacketFiles) Close() {
	for _, file := range [...]*os.File{f.UDP, f.Link} {
		if file != nil {
			_ = file.Close()
		}
	}
}

// Open returns the sockets of the files, and closes these.
func (f *PacketFiles) Open() (*PacketSocket, error) {
	defer f.Close()
	packets, err := net.FilePacketConn(f.UDP)
	if err != nil {
		return nil, err
	}
	messages, err := net.FileConn(f.Link)
	if err != nil {
		_ = packets.Close()
		return nil, err
	}
	udp, isUDP := packets.(*net.UDPConn)
	link, isUnix := messages.(*net.UnixConn)
	if !isUDP || !isUnix {
		_ = packets.Close()
		_ = messages.Close()
		return nil, errors.ErrUnsupported
	}
	return &PacketSocket{UDP: udp, Link: link, Tags: f.Tags}, nil
}

// offer returns the socket for another process, and our end of the link to it.
func (p *packets) offer() (f PacketFiles, ours *net.UnixConn, err error) {
	if f.UDP, err = descriptor.File(p.UDPConn, p.LocalAddr().String()); err != nil {
		return f, nil, err
	}
	if ours, f.Link, err = linked(); err != nil {
		f.Close()
		return PacketFiles{}, nil, err
	}
	f.Tags = p.tags()
	return f, ours, nil
}

// share returns the socket for another quicSocket of this process. From now on packets come by way of that, unless the result is closed.
func (p *packets) share() (*PacketSocket, error) {
	f, ours, err := p.offer()
	if err != nil {
		return nil, err
	}
	from, err := f.Open()
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	p.handOver(ours)
	return from, nil
}

// Packets returns the UDP sockets by address, for another process as Options.InheritedPackets. tookOver must be called when it is certain
// whether that serves: then the packets of its connections are its own, and those of ours come by way of it.
func (s *Set) Packets() (files map[string]PacketFiles, tookOver func(bool), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files = map[string]PacketFiles{}
	links := map[*packets]*net.UnixConn{}
	tookOver = func(yes bool) {
		for p, ours := range links {
			if yes {
				p.handOver(ours)
			} else {
				_ = ours.Close()
			}
		}
	}
	offered := maps.Clone(s.endingQUIC)
	for address, k := range s.sockets {
		if k.quic != nil {
			offered[address] = k.quic
		}
	}
	for address, q := range offered {
		f, ours, err := q.packets.offer()
		if err != nil {
			tookOver(false)
			for _, f := range files {
				f.Close()
			}
			return nil, nil, fmt.Errorf("cannot hand over the UDP port of listener %q: %w", address, err)
		}
		files[address], links[q.packets] = f, ours
	}
	return files, tookOver, nil
}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (p *packets) GenerateConnectionID() (quic.ConnectionID, error) {
	var id [idSize]byte
	_, _ = rand.Read(id[copy(id[:], p.tag[:]):]) // it never fails
	return quic.ConnectionIDFromBytes(id[:]), nil
}

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (p *packets) ConnectionIDLen() int { return idSize }
