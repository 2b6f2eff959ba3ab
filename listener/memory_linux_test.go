package listener

import (
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestIdleConnectionMemory: the heap memory of an idle keep-alive connection, including everything that grows with their number. The
// clients use no heap.
func TestIdleConnectionMemory(t *testing.T) {
	const conns, most = 9_900, 1024
	if portable {
		t.Skip("each connection has goroutines")
	}
	needDescriptors(t, 2*conns+100)
	s := start(t, Options{Limits: Limits{MaxConnections: 2 * conns}})
	address := s.Listeners()[0].Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	clients := make([]int, 0, conns)
	defer func() {
		for _, fd := range clients {
			unix.Close(fd)
		}
	}()
	before := heap()
	for range conns {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte(ok+"\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	var buf [1024]byte
	for _, fd := range clients {
		if n, err := unix.Read(fd, buf[:]); err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
	each := float64(heap()-before) / conns
	t.Logf("%.0f bytes a connection", each)
	if each > most {
		t.Errorf("an idle connection costs %.0f bytes, at most %d are allowed", each, most)
	}
	if n := s.Open(); n != conns {
		t.Errorf("%d connections are open", n)
	}
}

// heap returns the heap memory in use after a collection.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // sync.Pools are emptied by the second collection
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func needDescriptors(t testing.TB, n int) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < uint64(n) {
		t.Skipf("needs %d descriptors, may have %d", n, limit.Cur)
	}
}
