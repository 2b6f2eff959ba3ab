package lbtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Redis is a redis-server with an empty database in memory.
type Redis struct {
	Addr string

	args    []string
	process *exec.Cmd
	ended   chan struct{}
}

// StartRedis starts a redis-server on an address of loopback, with further arguments. It is killed at the end of the test. Without the
// program the test is skipped.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	for range 10 { // another program may take the port meanwhile
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r := &Redis{Addr: ln.Addr().String()}
		_, port, _ := net.SplitHostPort(r.Addr) // that of a listener
		ln.Close()
		r.args = append([]string{program, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()}, args...)
		if r.Start(t) {
			t.Cleanup(r.Kill)
			return r
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// Start starts it again at the same address after Kill. It returns false if it has ended at once.
func (r *Redis) Start(t testing.TB) bool {
	t.Helper()
	r.process, r.ended = exec.Command(r.args[0], r.args[1:]...), make(chan struct{})
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	process, ended := r.process, r.ended
	go func() { _ = process.Wait(); close(ended) }()
	up := false
	Eventually(t, "redis-server responds or ends", func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		up = r.Do("PING") != ""
		return up
	})
	return up
}

// Kill ends it without its consent. Its data is lost.
func (r *Redis) Kill() {
	_ = r.process.Process.Kill()
	<-r.ended
}

// Signal sends it a signal.
func (r *Redis) Signal(s os.Signal) { _ = r.process.Process.Signal(s) }

// Do sends a command of words without spaces and returns the first line of the response, "" if there is none.
func (r *Redis) Do(words ...string) string {
	c, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "%s\r\n", strings.Join(words, " "))
	line, _ := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line)
}
