//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// driver waits for an epoll instance through Go's poller. To Go it is a file that becomes readable, so that a waiting loop blocks only
// a goroutine, not a thread.
type driver struct {
	loop   *Loop
	epoll  int
	file   *os.File
	wait   syscall.RawConn
	events []syscall.EpollEvent
	timer  int32 // a timerfd in the epoll set
	armed  int64 // when it expires, on the loop's clock
	slept  bool  // the loop has slept since the last batch
	join   []byte
	send   message
	from   sockaddr
}

// ownTimer marks events of the timerfd. It is not the generation of a socket.
const ownTimer = 0

// batchSize is how many events are fetched by one system call.
const batchSize = 256

func (d *driver) open() error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	d.epoll = fd
	d.file = os.NewFile(uintptr(fd), "epoll")
	d.wait, err = d.file.SyscallConn()
	if err == nil {
		err = d.file.SetReadDeadline(time.Time{}) // fails if the file is not registered with Go's poller
	}
	if err == nil {
		err = d.openTimer()
	}
	if err != nil {
		d.file.Close()
		return err
	}
	d.events = make([]syscall.EpollEvent, batchSize)
	d.join = make([]byte, joinSize)
	return nil
}

// openTimer creates the timerfd that ends a sleep. Go's timers would do too, but each expiry costs twice as much and is up to a
// millisecond later.
func (d *driver) openTimer() error {
	fd, errno := newTimer()
	if errno != 0 {
		return os.NewSyscallError("timerfd_create", errno)
	}
	if errno := epollAdd(d.epoll, fd, edges, 0, ownTimer); errno != 0 {
		closeDescriptor(fd)
		return os.NewSyscallError("epoll_ctl", errno)
	}
	d.timer, d.armed = fd, never
	return nil
}

func (d *driver) close() {
	closeDescriptor(d.timer)
	d.file.Close()
}

// wake ends the loop's sleep. A deadline in the past is Go's way to wake a goroutine that waits for a file, and needs no system call.
func (d *driver) wake() { _ = d.file.SetReadDeadline(time.Unix(1, 0)) }

func (l *Loop) run() {
	d := &l.driver
	defer d.close()
	turn := l.turn
	for {
		err := d.wait.Read(turn)
		if err == nil {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			panic("netloop: cannot wait for events: " + err.Error())
		}
		_ = d.file.SetReadDeadline(time.Time{}) // wake has set it
	}
}

// turn runs batches until there is nothing to do. Go calls it again when the epoll instance has events. It returns true when the loop has
// ended.
func (l *Loop) turn(uintptr) bool {
	d := &l.driver
	l.rise()
	for {
		n := epollWait(d.epoll, d.events)
		l.batch(n)
		if l.ended() {
			return true
		}
		if n > 1 || l.restless() {
			continue
		}
		d.arm(l.timers.next())
		if l.sleep() {
			return false
		}
	}
}

// arm sets the timerfd for the next timer. It is not set to a later time, since one needless batch costs less than a system call for each
// change.
func (d *driver) arm(next int64) {
	if next >= d.armed {
		return
	}
	d.armed = next
	setTimer(d.timer, max(1, next-d.loop.clock))
}

func (d *driver) dispatch(n int) {
	l := d.loop
	for i := range d.events[:n] {
		event := &d.events[i]
		if event.Pad == ownTimer {
			d.armed = never
			continue
		}
		s := l.find(registration{uint32(event.Fd), uint32(event.Pad)})
		if s == nil {
			l.count[stale]++
			continue
		}
		if e := s.note(event.Events); e != 0 {
			s.deliver(e)
		}
	}
}
