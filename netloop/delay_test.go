package netloop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// metronome names the variable that makes this program a process which sends the time of the machine over a connection, once a millisecond.
const metronome = "NETLOOP_METRONOME"

// bootTime returns a time that two processes can compare.
func bootTime() int64 { return time.Now().UnixNano() }

func tick(address string) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	b := make([]byte, 8)
	for {
		time.Sleep(time.Millisecond)
		binary.LittleEndian.PutUint64(b, uint64(bootTime()))
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// BenchmarkDelay measures how long bytes from another process wait for a loop, and a task for another loop, while goroutines of the same process
// are busy.
func BenchmarkDelay(b *testing.B) {
	cores := runtime.NumCPU()
	for _, work := range []struct {
		name string
		run  func(stop *atomic.Bool)
	}{
		{"none", nil},
		{"handshakes", handshakes},
		{"garbage", garbage},
		{"computing", compute},
	} {
		for _, setting := range []struct {
			name           string
			workers, procs int
		}{
			{"workers=cores", cores, cores},
			{"workers=8cores", 8 * cores, cores},
			{"workers=cores-1", cores - 1, cores},
			{"workers=cores,procs=2cores", cores, 2 * cores},
			{"workers=cores-1,procs=2cores", cores - 1, 2 * cores},
		} {
			if work.run == nil && setting.name != "workers=cores" {
				continue
			}
			for _, profile := range []bool{false, true} {
				if profile && work.name != "handshakes" {
					continue
				}
				b.Run(fmt.Sprintf("%s/%s/profile=%v", work.name, setting.name, profile), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(setting.procs))
					if profile {
						if err := pprof.StartCPUProfile(io.Discard); err != nil {
							b.Fatal(err)
						}
						defer pprof.StopCPUProfile()
					}
					delay(b, cores, setting.workers, work.run)
				})
			}
		}
	}
}

func delay(b *testing.B, loops, workers int, work func(*atomic.Bool)) {
	ctx, cancel := context.WithCancel(context.Background())
	ls := New(Options{Loops: loops})
	if err := ls.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer ls.Wait()
	defer cancel()
	var mu sync.Mutex
	var events, tasks []time.Duration
	address := serve(b, ls, func(c *conn) {
		other := ls.All()[(c.Loop().Index()+1)%loops]
		c.ready = func(c *conn, e Events) {
			p := c.Loop().Scratch()
			n, err := c.Read(p)
			if err != nil {
				if err != ErrWouldBlock {
					c.Close()
				}
				return
			}
			now := bootTime()
			mu.Lock()
			for p = p[:n]; len(p) >= 8; p = p[8:] {
				events = append(events, time.Duration(now-int64(binary.LittleEndian.Uint64(p))))
			}
			mu.Unlock()
			other.Post(TaskFunc(func() {
				waited := time.Duration(bootTime() - now)
				mu.Lock()
				tasks = append(tasks, waited)
				mu.Unlock()
			}))
		}
	})
	stop := new(atomic.Bool)
	var busy sync.WaitGroup
	if work != nil {
		for range workers {
			busy.Add(1)
			go func() { defer busy.Done(); work(stop) }()
		}
	}
	children := make([]*exec.Cmd, loops)
	for i := range children {
		children[i] = exec.Command(os.Args[0])
		children[i].Env = append(os.Environ(), metronome+"="+address.String())
		if err := children[i].Start(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		time.Sleep(2 * time.Second)
	}
	stop.Store(true)
	busy.Wait()
	for _, child := range children {
		child.Process.Kill()
		child.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	for name, all := range map[string][]time.Duration{"event": events, "task": tasks} {
		if len(all) == 0 {
			continue
		}
		slices.Sort(all)
		for _, q := range []struct {
			name string
			at   int
		}{{"50", len(all) / 2}, {"99", len(all) * 99 / 100}, {"max", len(all) - 1}} {
			b.ReportMetric(float64(all[q.at].Microseconds()), name+"-"+q.name+"-µs")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// handshakes signs and verifies like a TLS handshake.
func handshakes(stop *atomic.Bool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	hash := make([]byte, 32)
	for !stop.Load() {
		done := make(chan struct{})
		go func() { // a goroutine for each, as for handshakes
			defer close(done)
			sig, err := ecdsa.SignASN1(rand.Reader, key, hash)
			if err != nil || !ecdsa.VerifyASN1(&key.PublicKey, hash, sig) {
				panic("no signature")
			}
		}()
		<-done
	}
}

// garbage keeps the garbage collector running.
func garbage(stop *atomic.Bool) {
	var live [1 << 12]*[]string
	for i := 0; !stop.Load(); i++ {
		s := strings.Split("a,b,c,d,e,f,g,h,i,j", ",")
		live[i%len(live)] = &s
	}
}

// compute never calls anything that could yield to other goroutines.
func compute(stop *atomic.Bool) {
	x := uint64(1)
	for !stop.Load() {
		for range 1 << 20 {
			x = x*6364136223846793005 + 1
		}
	}
	runtime.KeepAlive(x)
}
