//go:build linux && (amd64 || arm64) && !portable

package netloop

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// System calls that cannot block are made without notifying Go's scheduler, which would double the cost of the smaller ones.

const (
	epollExclusive = 1 << 28
	msgMore        = 0x8000

	edges = uint32(syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | syscall.EPOLLPRI | 1<<31 /* EPOLLET */)

	// joinSize is the total size up to which a head and a body are copied together and sent by a plain send, which is cheaper than a
	// vector.
	joinSize = 4 << 10
)

func epollWait(epoll int, events []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno == syscall.EINTR {
		return 0
	}
	if errno != 0 {
		panic("netloop: cannot ask for events: " + errno.Error())
	}
	return int(n)
}

func epollAdd(epoll int, fd int32, bits, slot, generation uint32) syscall.Errno {
	event := syscall.EpollEvent{Events: bits, Fd: int32(slot), Pad: int32(generation)}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(epoll), syscall.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0)
	return errno
}

func epollDelete(epoll int, fd int32) {
	var event syscall.EpollEvent
	_, _, _ = syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(epoll), syscall.EPOLL_CTL_DEL, uintptr(fd), uintptr(unsafe.Pointer(&event)), 0, 0)
}

// newTimer creates a timerfd of the monotonic clock.
func newTimer() (int32, syscall.Errno) {
	const monotonic = 1
	fd, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	return int32(fd), errno
}

// setTimer makes the timer expire once, after wait nanoseconds.
func setTimer(fd int32, wait int64) {
	var spec struct{ interval, value syscall.Timespec }
	spec.value = syscall.NsecToTimespec(wait)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

func recv(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
	return int(n), errno
}

func sendto(fd int32, p []byte, flags uintptr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
	return int(n), errno
}

// message is the argument of sendmsg, kept to avoid an allocation for each call.
type message struct {
	header syscall.Msghdr
	parts  [2]syscall.Iovec
}

func (m *message) send(fd int32, head, body []byte, flags uintptr) (int, syscall.Errno) {
	m.parts[0] = syscall.Iovec{Base: &head[0], Len: uint64(len(head))}
	m.parts[1] = syscall.Iovec{Base: &body[0], Len: uint64(len(body))}
	m.header.Iov, m.header.Iovlen = &m.parts[0], 2
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&m.header)), flags)
	m.parts[0].Base, m.parts[1].Base = nil, nil
	return int(n), errno
}

// sendfile may wait for the disk, so Go's scheduler is notified: it can reassign the P, and the garbage collector need not wait.
func sendfile(fd, file int32, offset int64, n int) (int, syscall.Errno) {
	done, _, errno := syscall.Syscall6(syscall.SYS_SENDFILE, uintptr(fd), uintptr(file), uintptr(unsafe.Pointer(&offset)), uintptr(n), 0, 0)
	return int(done), errno
}

func closeDescriptor(fd int32) { _, _, _ = syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// openSocket makes a non-blocking stream socket.
func openSocket(family uintptr) (int32, syscall.Errno) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_SOCKET, family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	return int32(fd), errno
}

func setOption(fd int32, level, option, value int) {
	v := int32(value)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option), uintptr(unsafe.Pointer(&v)), 4, 0)
}

// sockaddr is an address as the kernel reads and writes it.
type sockaddr struct {
	raw  syscall.RawSockaddrAny
	size uint32
}

func (a *sockaddr) accept(listener int32) (fd int32, errno syscall.Errno) {
	a.size = syscall.SizeofSockaddrAny
	n, _, errno := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&a.raw)), uintptr(unsafe.Pointer(&a.size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	return int32(n), errno
}

func (a *sockaddr) connect(fd int32) syscall.Errno {
	_, _, errno := syscall.RawSyscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(a.size))
	return errno
}

func (a *sockaddr) local(fd int32) netip.AddrPort {
	a.size = syscall.SizeofSockaddrAny
	_, _, errno := syscall.RawSyscall(syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(unsafe.Pointer(&a.size)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	return a.addrPort()
}

// addrPort returns the zero value for an address of another family.
func (a *sockaddr) addrPort() netip.AddrPort {
	switch a.raw.Addr.Family {
	case syscall.AF_INET:
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), portOf(&in.Port))
	case syscall.AF_INET6:
		in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&a.raw))
		address := netip.AddrFrom16(in.Addr).Unmap()
		if in.Scope_id != 0 {
			address = address.WithZone(strconv.Itoa(int(in.Scope_id)))
		}
		return netip.AddrPortFrom(address, portOf(&in.Port))
	}
	return netip.AddrPort{}
}

// set sets the address and returns its family.
func (a *sockaddr) set(address netip.AddrPort) uintptr {
	ip := address.Addr()
	if ip.Unmap().Is4() {
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		*in = syscall.RawSockaddrInet4{Family: syscall.AF_INET, Addr: ip.Unmap().As4()}
		setPort(&in.Port, address.Port())
		a.size = syscall.SizeofSockaddrInet4
		return syscall.AF_INET
	}
	in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&a.raw))
	*in = syscall.RawSockaddrInet6{Family: syscall.AF_INET6, Addr: ip.As16(), Scope_id: scope(ip.Zone())}
	setPort(&in.Port, address.Port())
	a.size = syscall.SizeofSockaddrInet6
	return syscall.AF_INET6
}

// setPath sets the address of a unix socket; "@" begins an abstract one.
func (a *sockaddr) setPath(path string) syscall.Errno {
	un := (*syscall.RawSockaddrUnix)(unsafe.Pointer(&a.raw))
	*un = syscall.RawSockaddrUnix{Family: syscall.AF_UNIX}
	if len(path) == 0 || len(path) >= len(un.Path) {
		return syscall.EINVAL
	}
	for i := range len(path) {
		un.Path[i] = int8(path[i])
	}
	a.size = uint32(2 + len(path) + 1)
	if path[0] == '@' {
		un.Path[0] = 0
		a.size--
	}
	return 0
}

func portOf(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }

func setPort(p *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], port)
}

// duplicate returns a duplicate descriptor, which is non-blocking too.
func duplicate(fd int32, name string) (*os.File, error) {
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, os.NewSyscallError("fcntl", errno)
	}
	return os.NewFile(copied, name), nil
}
