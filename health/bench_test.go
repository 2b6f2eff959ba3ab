package health

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lb/pool"
	"lb/transport"
)

const serveEnv = "LB_HEALTH_BENCH_SERVE"

// serveForBenchmark serves probes in another process, so that BenchmarkProbe measures lb's share alone.
func serveForBenchmark() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the benchmark
		os.Exit(0)
	}()
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go respondToProbes(conn)
	}
}

// respondToProbes keeps the connection as long as the probes want it.
func respondToProbes(conn net.Conn) {
	defer conn.Close()
	request := make([]byte, 4096)
	for {
		n, err := conn.Read(request)
		if err != nil {
			return
		}
		connection := "keep-alive"
		if bytes.Contains(request[:n], []byte("Connection: close\r\n")) {
			connection = "close"
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n" +
			"Content-Length: 2\r\nConnection: " + connection + "\r\n\r\nok"))
		if connection == "close" {
			return
		}
	}
}

// BenchmarkProbe reports the CPU time of this process per probe. At 60 µs, 1,000 backends every 2 s
// take 3 % of a core.
func BenchmarkProbe(b *testing.B) {
	address := startServing(b)
	for _, kind := range []string{HTTP, TCP} {
		b.Run(kind, func(b *testing.B) {
			target := backend(address)
			dialer := net.Dialer{KeepAlive: -1}
			dial := func(ctx context.Context, _ *pool.Backend) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", address)
			}
			c := New(Options{Config: Config{Type: kind}, Pool: &recorder{}, Dial: dial})
			l := &loop{checker: c, backend: target, cancel: func() {}}
			l.configure()
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				l.check(context.Background(), time.Now())
			}
			b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1e3, "cpu-µs/probe")
			if target.Status().LastCheck.Error != "" {
				b.Fatal(target.Status().LastCheck.Error)
			}
		})
	}
}

// BenchmarkThousandBackends probes 1,000 backends every 2 s until b.N probes have run, 500 a second; as in
// production, each probe wakes a sleeping process. It reports the share of one core that this process takes.
func BenchmarkThousandBackends(b *testing.B) {
	address := startServing(b)
	for _, kind := range []string{HTTP, TCP} {
		b.Run(kind, func(b *testing.B) {
			client := transport.New(transport.Options{Address: address, Connect: 3 * time.Second}, nil)
			r := &counting{enough: make(chan struct{})}
			c := New(Options{
				Config: Config{Type: kind, Jitter: 0.1}, Pool: r,
				Dial: func(ctx context.Context, _ *pool.Backend) (net.Conn, error) { return client.Dial(ctx) },
			})
			c.Start(b.Context())
			for range 1000 {
				c.Join(backend(address))
				time.Sleep(2 * time.Millisecond) // spreads the probes over the interval
			}
			r.left.Store(int64(b.N))
			b.ResetTimer()
			began, before := time.Now(), cpuTime()
			<-r.enough
			used := cpuTime() - before
			b.ReportMetric(float64(used)/float64(time.Since(began))*100, "%core")
			b.ReportMetric(float64(used)/float64(b.N)/1e3, "cpu-µs/probe")
			c.Stop()
		})
	}
}

// counting is a Pool that waits for a number of probes that passed.
type counting struct {
	left   atomic.Int64
	enough chan struct{}
}

func (c *counting) SetActive(*pool.Backend, bool, string) {}

func (c *counting) SetFlapping(*pool.Backend, bool, string) {}

func (c *counting) ProbePassed(*pool.Backend) {
	if c.left.Add(-1) == 0 {
		close(c.enough)
	}
}

// startServing starts the process that serves, and returns its address.
func startServing(b *testing.B) string {
	b.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), serveEnv+"=1")
	stdin, _ := command.StdinPipe()
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = stdin.Close(); _ = command.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return line[:len(line)-1]
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
