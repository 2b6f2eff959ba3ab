package front

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watcher tells when something comes on sockets that nobody reads from: an epoll(7) instance, whose own descriptor the
// runtime's poller waits for. The zero value can watch nothing.
type watcher struct {
	file *os.File
	raw  syscall.RawConn
}

// start makes the watcher ready. Each socket that was added is told to found once, unless it is removed before.
func (w *watcher) start() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that os.NewFile has the runtime wait for it
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	w.file = os.NewFile(uintptr(fd), "epoll")
	if err := w.file.SetReadDeadline(time.Time{}); err != nil { // os.NewFile does not tell that the runtime cannot wait for it
		w.file.Close()
		return err
	}
	w.raw, err = w.file.SyscallConn()
	return err
}

// run calls found with the keys of sockets on which something has come, or whose peer has left, until stop.
func (w *watcher) run(found func(key uint64)) {
	events := make([]unix.EpollEvent, 32)
	// The function never says that it is done, so Read returns when the file is closed.
	_ = w.raw.Read(func(fd uintptr) bool {
		// The runtime hears of an event only if there was none before: all of them have to be taken.
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if err == unix.EINTR {
				continue
			}
			for _, e := range events[:max(n, 0)] {
				found(uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32)
			}
			runtime.Gosched() // so that they are done before all of a crowd have stacks and buffers
			if n < len(events) {
				return false
			}
		}
	})
}

func (w *watcher) stop() { w.file.Close() }

var errNotWatched = errors.New("the socket cannot be watched")

// add has a socket be watched for something to read, or for room to send, and for its end.
func (w *watcher) add(nc net.Conn, key uint64, room bool) error {
	event := eventFor(key)
	if room {
		event.Events ^= unix.EPOLLIN ^ unix.EPOLLOUT
	}
	return w.control(nc, unix.EPOLL_CTL_ADD, event)
}

// again has a socket be watched on that was found.
func (w *watcher) again(nc net.Conn, key uint64) error {
	return w.control(nc, unix.EPOLL_CTL_MOD, eventFor(key))
}

func eventFor(key uint64) *unix.EpollEvent {
	return &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Fd:     int32(uint32(key)), Pad: int32(uint32(key >> 32)),
	}
}

func (w *watcher) remove(nc net.Conn) { _ = w.control(nc, unix.EPOLL_CTL_DEL, nil) }

// control is epoll_ctl(2). It fails for a socket that is closed.
func (w *watcher) control(nc net.Conn, operation int, event *unix.EpollEvent) error {
	sc, ok := nc.(syscall.Conn)
	if !ok || w.raw == nil {
		return errNotWatched
	}
	socket, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = w.raw.Control(func(epoll uintptr) {
		failed = errors.Join(failed, socket.Control(func(fd uintptr) {
			failed = unix.EpollCtl(int(epoll), operation, int(fd), event)
		}))
	})
	return errors.Join(err, failed)
}
