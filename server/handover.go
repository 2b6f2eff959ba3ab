package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"lb/listener"
	"lb/pool"
	"lb/server/upgrade"
)

// firstProbes is how long a process that takes over waits to know its backends; the one
// before it serves meanwhile.
const firstProbes = 3 * time.Second

// errCannotHandOver says that this program is not one that a new one can be started from.
var errCannotHandOver = errors.New("this process does not know which program to start")

// errStopping and errHandedOver say that this process takes on nothing new.
var (
	errStopping   = errors.New("this process is stopping")
	errHandedOver = errors.New("a new process serves already")
)

// settled returns why nothing is to change any more, nil if it may. The caller holds reloading.
func (s *Server) settled() error {
	switch {
	case s.handedOver.Load():
		return errHandedOver
	case s.stopping.Err() != nil:
		return errStopping
	}
	return nil
}

// HandOver starts the program again, hands it the listening sockets, and returns when it serves; what
// is left to do here is Stop. On an error the new process has ended and nothing has changed. Stop ends it early.
func (s *Server) HandOver(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := s.settled(); err != nil {
		s.log.Error("cannot hand over", "error", err)
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	defer s.releaseChanges()
	if len(s.opt.Command) == 0 {
		return errCannotHandOver
	}
	s.log.Info("handing over to a new process", "program", s.opt.Command[0])
	pid, err := s.startSuccessor(ctx)
	if err != nil {
		s.log.Error("the new process did not take over; this one continues", "error", err)
		return err
	}
	s.handedOver.Store(true)
	s.front.LeaveFiles()
	if s.admin != nil {
		listener.LeaveFile(s.admin.listener)
	}
	s.notify(fmt.Sprintf("MAINPID=%d\nREADY=1", pid))
	s.log.Info("a new process serves", "pid", pid)
	return nil
}

// startSuccessor returns the new process's id once it serves.
func (s *Server) startSuccessor(ctx context.Context) (pid int, err error) {
	files, err := s.front.Files()
	if err != nil {
		return 0, err
	}
	packets, tookOver, err := s.front.Packets()
	if err != nil {
		return 0, errors.Join(err, closeFiles(files))
	}
	defer func() { tookOver(err == nil) }()
	offer := upgrade.Offer{Command: s.opt.Command, Listeners: files, Packets: map[string]upgrade.Packets{}, Secret: append(s.stickySecret[:secretSize:secretSize], s.tickets.encode()...), Overrides: s.sendOverrides}
	defer offer.Close()
	for address, p := range packets {
		offer.Packets[address] = upgrade.Packets(p)
	}
	if a := s.admin; a != nil {
		file, err := listener.Duplicate(a.listener)
		if err != nil {
			return 0, fmt.Errorf("cannot hand over the admin listener: %w", err)
		}
		offer.Admin = map[string]*os.File{a.config.Listen: file}
	}
	return offer.Start(ctx)
}

// inherit returns the sockets that are open already, by the configured address of the listener that each is for: those of
// the service manager and those of the process before.
func (s *Server) inherit(listeners []listener.ListenerOptions) (map[string]net.Listener, error) {
	var wanted []upgrade.Wanted
	for _, l := range listeners {
		wanted = append(wanted, upgrade.Wanted{Address: l.Address, IPv6Only: l.IPv6Only})
	}
	inherited, err := upgrade.Activated(wanted, func(ln net.Listener, w upgrade.Wanted) error {
		return listener.CheckFamilies(ln, w.Address, w.IPv6Only)
	})
	if err == nil {
		err = s.taken.Listeners(wanted, inherited)
	}
	return inherited, err
}

func closeFiles(files map[string]*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// inheritPackets returns the UDP sockets of the process before, in the same way.
func (s *Server) inheritPackets(listeners []listener.ListenerOptions) (map[string]*listener.PacketSocket, error) {
	inherited := map[string]*listener.PacketSocket{}
	for i := range listeners {
		address := listeners[i].Address
		if !listeners[i].HTTP3 {
			continue
		}
		p, ok := s.taken.Packets(address)
		if !ok {
			continue
		}
		files := listener.PacketFiles(p)
		from, err := files.Open()
		if err != nil {
			return nil, fmt.Errorf("cannot take over the UDP port of the listener %q: %w", address, err)
		}
		inherited[address] = from
	}
	return inherited, nil
}

// secretSize is the size in bytes of what signs cookies. The keys of session tickets follow it when secrets are handed over.
const secretSize = 32

// secretsOf returns what signs cookies and encrypts session tickets: those of the process before, so that both stay valid, or new ones.
func secretsOf(taken *upgrade.Taken) (sticky []byte, keys []ticketKey) {
	if secret := taken.Secret(); len(secret) >= secretSize {
		return secret[:secretSize], decodeTicketKeys(secret[secretSize:])
	}
	sticky = make([]byte, secretSize)
	_, _ = rand.Read(sticky) // never fails
	return sticky, nil
}

// awaitFirstProbes waits until the health checks have looked at every backend, or for long enough.
func (s *Server) awaitFirstProbes() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(firstProbes); time.Now().Before(end) && s.unknownBackends(); {
		<-tick.C
	}
}

func (s *Server) unknownBackends() bool {
	for _, run := range s.current.Load().pools {
		for _, b := range run.pool.Backends() {
			if b.ActiveState() == pool.ActiveUnknown && b.AdminState() != pool.Maint {
				return true
			}
		}
	}
	return false
}
