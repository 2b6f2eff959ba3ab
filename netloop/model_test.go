package netloop

import (
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestModel relays between pairs of peers that act at random: they write in slices, pause, half-close or reset. So does the relay on
// loops, which reads little, postpones, writes head and body, and sometimes aborts by a timer. What is received is a prefix of what was sent,
// and all of it if both sides closed normally. No socket gets an event after its end, and nothing is left behind.
func TestModel(t *testing.T) {
	rounds := 100
	if testing.Short() {
		rounds = 30
	}
	serverConfig, clientConfig := certificates(t)
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			ls := startLoops(t, Options{Loops: 2})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			backends := &sync.Map{} // the end of each, by its number
			var relays, ended atomic.Int64
			front := serve(t, ls, func(c *conn) {
				relays.Add(1)
				m := &modelRelay{t: t, random: rand.New(rand.NewPCG(uint64(relays.Load()), 7)), client: c, backend: &conn{}, ended: &ended}
				m.start(ln.Addr().(*net.TCPAddr).AddrPort())
				if secure {
					c.ServerTLS(serverConfig, patience)
				}
			})
			var serving sync.WaitGroup
			serving.Add(1)
			go func() {
				defer serving.Done()
				for n := uint64(0); ; n++ {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					serving.Add(1)
					go func() {
						defer serving.Done()
						number := make([]byte, 1)
						c.SetDeadline(time.Now().Add(patience))
						if _, err := io.ReadFull(c, number); err != nil {
							c.Close()
							return
						}
						s := &modelSide{conn: c.(*net.TCPConn), random: rand.New(rand.NewPCG(n, 3))}
						s.run()
						backends.Store(number[0], s)
					}()
				}
			}()
			clients := make([]*modelSide, rounds)
			gate := make(chan struct{}, 8)
			collect(rounds, func(i int) {
				gate <- struct{}{}
				defer func() { <-gate }()
				tcp, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(front))
				if err != nil { // aborted at once
					clients[i] = &modelSide{}
					return
				}
				tcp.SetDeadline(time.Now().Add(patience))
				s := &modelSide{conn: tcp, random: rand.New(rand.NewPCG(uint64(i), 5)), number: []byte{byte(i)}}
				if secure {
					s.conn = tls.Client(tcp, clientConfig)
				}
				s.run()
				clients[i] = s
			})
			ln.Close()
			serving.Wait()
			eventually(t, "each relay has ended once", func() bool { return ended.Load() == int64(rounds) && relays.Load() == int64(rounds) })
			whole := 0
			for i, client := range clients {
				side, ok := backends.Load(byte(i))
				if !ok {
					continue // aborted before
				}
				backend := side.(*modelSide)
				for _, pair := range [2][2]*modelSide{{client, backend}, {backend, client}} {
					from, to := pair[0], pair[1]
					if to.got > from.sent {
						t.Errorf("%d bytes arrived of %d", to.got, from.sent)
					}
					if to.wrong {
						t.Error("other bytes arrived than were sent")
					}
					if to.end && from.ended && to.got == from.sent {
						whole++
					} else if to.end && from.ended {
						t.Errorf("an end in order after %d of %d bytes", to.got, from.sent)
					}
				}
			}
			if whole < rounds/2 {
				t.Errorf("only %d transfers were whole", whole)
			}
		})
	}
}

// modelSide is a client or a backend.
type modelSide struct {
	conn interface {
		net.Conn
		CloseWrite() error
	}
	random *rand.Rand
	number []byte

	sent, got  int
	ended, end bool // it has closed its sending side; it has read the end
	wrong      bool
}

// byteAt returns the byte that each side sends at a position.
func byteAt(i int) byte { return byte(i*7 + i>>8) }

func (s *modelSide) run() {
	defer s.conn.Close()
	if len(s.number) > 0 {
		if _, err := s.conn.Write(s.number); err != nil {
			return
		}
	}
	reading := make(chan struct{})
	pause := rand.New(rand.NewPCG(s.random.Uint64(), 1))
	go func() {
		defer close(reading)
		b := make([]byte, 1+pause.IntN(40_000))
		for {
			n, err := s.conn.Read(b)
			for _, got := range b[:n] {
				s.wrong = s.wrong || got != byteAt(s.got)
				s.got++
			}
			if err != nil {
				s.end = err == io.EOF
				return
			}
			if pause.IntN(20) == 0 {
				time.Sleep(time.Duration(pause.IntN(2000)) * time.Microsecond)
			}
		}
	}()
	for range s.random.IntN(30) {
		b := make([]byte, s.random.IntN(1<<s.random.IntN(17)+1))
		for i := range b {
			b[i] = byteAt(s.sent + i)
		}
		n, err := s.conn.Write(b)
		s.sent += n
		if err != nil {
			s.sent += len(b) - n // TLS may have sent more than it reports
			<-reading
			s.end = false // the write has returned the error, so that the read saw an end
			return
		}
		if s.random.IntN(10) == 0 {
			time.Sleep(time.Duration(s.random.IntN(2000)) * time.Microsecond)
		}
	}
	if s.random.IntN(10) == 0 {
		reset(s.conn)
		<-reading
		return
	}
	s.ended = s.conn.CloseWrite() == nil
	<-reading
}

func reset(c net.Conn) {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// modelRelay is a relay on loops with random delays.
type modelRelay struct {
	t               *testing.T
	random          *rand.Rand
	client, backend *conn
	there, back     direction
	over            bool
	ended           *atomic.Int64
}

func (m *modelRelay) start(backend netip.AddrPort) {
	m.there = direction{from: m.client, to: m.backend}
	m.back = direction{from: m.backend, to: m.client}
	m.client.ready, m.backend.ready = m.ready, m.ready
	m.client.expired = func(*conn) { m.end(true) }
	if m.random.IntN(10) == 0 {
		m.client.timer.Reset(time.Duration(m.random.IntN(20)) * time.Millisecond)
	}
	if err := m.client.Loop().Dial(&m.backend.Socket, backend, m.backend); err != nil {
		m.t.Error(err)
	}
}

func (m *modelRelay) ready(c *conn, e Events) {
	switch {
	case m.over:
		m.t.Errorf("events %b after the end", e)
	case e&Failed != 0 || !m.move(&m.there) || !m.move(&m.back):
		m.end(true)
	case m.there.done && m.back.done && m.client.Buffered() == 0 && m.backend.Buffered() == 0:
		m.end(false)
	}
}

func (m *modelRelay) end(broken bool) {
	m.over = true
	m.client.timer.Stop()
	m.ended.Add(1)
	for _, c := range []*conn{m.client, m.backend} {
		if broken {
			c.Reset()
		} else {
			c.Close()
		}
	}
}

// move is direction.move with random interruptions. It returns false if the relay is broken.
func (m *modelRelay) move(d *direction) bool {
	for {
		for len(d.pending) > 0 {
			k := m.random.IntN(len(d.pending) + 1)
			n, err := d.to.Write(d.pending[:k], d.pending[k:])
			if err != nil {
				return err == ErrWouldBlock
			}
			d.pending = d.pending[n:]
		}
		if d.ended {
			if !d.done {
				d.done = true
				return d.to.CloseWrite() == nil
			}
			return true
		}
		if m.random.IntN(8) == 0 {
			d.from.Again()
			return true
		}
		b := d.from.Loop().Scratch()
		n, err := d.from.Read(b[:1+m.random.IntN(1<<m.random.IntN(16))])
		switch err {
		case nil:
			d.pending = append([]byte(nil), b[:n]...)
		case ErrWouldBlock:
			return true
		case io.EOF:
			d.ended = true
		default:
			return false
		}
	}
}
