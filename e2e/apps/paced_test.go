//go:build e2e

package apps

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shot is one request and its result.
type shot struct {
	method string
	start  time.Time
	took   time.Duration
	worker string // that responded
	err    error  // nil: a whole response of 200
}

func (s *shot) end() time.Time { return s.start.Add(s.took) }

// paced is a load at a constant rate, without retries, which records the result of each request.
type paced struct {
	address string
	served  atomic.Int64
	end     chan struct{}
	group   sync.WaitGroup
	mu      sync.Mutex
	shots   []shot
}

func newPaced(url string) *paced {
	return &paced{address: url[len("http://"):], end: make(chan struct{})}
}

// add starts clients that together send that many requests a second, on kept connections or on a new one each time.
func (s *paced) add(clients, perSecond int, keep bool, method, target string) {
	every := time.Second * time.Duration(clients) / time.Duration(perSecond)
	for i := range clients {
		s.group.Go(func() {
			c := &pacedClient{address: s.address, keep: keep}
			defer c.close()
			var mine []shot
			timer := time.NewTimer(every * time.Duration(i) / time.Duration(clients))
			defer timer.Stop()
			next := time.Now().Add(every * time.Duration(i) / time.Duration(clients))
			for {
				select {
				case <-s.end:
					s.mu.Lock()
					s.shots = append(s.shots, mine...)
					s.mu.Unlock()
					return
				case <-timer.C:
				}
				mine = append(mine, c.ask(method, target))
				s.served.Add(1)
				if next = next.Add(every); time.Until(next) < -time.Second {
					next = time.Now() // the machine was busy: do not make up for it by a burst
				}
				timer.Reset(time.Until(next))
			}
		})
	}
}

// stop ends the load and returns all requests in the order of their starts.
func (s *paced) stop() []shot {
	close(s.end)
	s.group.Wait()
	slices.SortFunc(s.shots, func(a, b shot) int { return a.start.Compare(b.start) })
	return s.shots
}

// pacedClient is one connection at a time.
type pacedClient struct {
	address string
	keep    bool
	conn    net.Conn
	reader  *bufio.Reader
}

func (c *pacedClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *pacedClient) ask(method, target string) (s shot) {
	s = shot{method: method, start: time.Now()}
	defer func() {
		s.took = time.Since(s.start)
		if s.err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		if c.conn, s.err = net.DialTimeout("tcp", c.address, patience); s.err != nil {
			c.conn = nil
			return s
		}
		c.reader = bufio.NewReader(c.conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	fields := ""
	if !c.keep {
		fields = "Connection: close\r\n"
	}
	if method == http.MethodPost {
		fields += "Content-Length: 4\r\n\r\nbody"
	} else {
		fields += "\r\n"
	}
	if _, s.err = fmt.Fprintf(c.conn, "%s %s HTTP/1.1\r\nHost: a\r\n%s", method, target, fields); s.err != nil {
		return s
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		s.err = fmt.Errorf("no response: %w", err)
		return s
	}
	defer response.Body.Close()
	s.worker = response.Header.Get("X-Worker")
	if _, s.err = io.Copy(io.Discard, response.Body); s.err == nil && response.StatusCode != http.StatusOK {
		s.err = fmt.Errorf("status %s", response.Status)
	}
	if response.Close || !c.keep {
		c.close()
	}
	return s
}

// quantile returns the time within which that share of the requests ended.
func quantile(shots []shot, q float64) time.Duration {
	if len(shots) == 0 {
		return 0
	}
	var all []time.Duration
	for _, s := range shots {
		all = append(all, s.took)
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(math.Ceil(q*float64(len(all))))-1)]
}

// between returns the shots that started between two times.
func between(shots []shot, from, to time.Time) (some []shot) {
	for _, s := range shots {
		if s.start.After(from) && s.start.Before(to) {
			some = append(some, s)
		}
	}
	return some
}
