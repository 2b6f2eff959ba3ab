package proxy

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lb/internal/lbtest"
	"lb/transport"
)

// TestTransitionsAreComplete: the table has an action for each event in each phase.
func TestTransitionsAreComplete(t *testing.T) {
	for p, row := range transitions {
		for e, do := range row {
			if do == nil {
				t.Errorf("phase %d has nothing for event %d", p, e)
			}
		}
	}
}

// TestRandomSchedules: whatever clients and backends do, in any order, each request ends once, is counted once, and releases everything,
// and no byte of one response reaches the client of another.
func TestRandomSchedules(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { randomSchedule(t, seed) })
	}
}

func randomSchedule(t *testing.T, seed uint64) {
	var backends []string
	secure := seed%3 == 2
	conf := serverTLS(t)
	for i := range 3 {
		random := rand.New(rand.NewPCG(seed, uint64(100+i)))
		var mu sync.Mutex
		roll := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return random.IntN(n)
		}
		script := func(c *lbtest.Conn) { randomBackend(c, roll) }
		if secure {
			backends = append(backends, lbtest.NewTLSBackend(t, conf, script).Addr)
		} else {
			backends = append(backends, lbtest.NewBackend(t, script).Addr)
		}
	}
	o := options{}
	if secure {
		o.transport = func(o *transport.Options) { o.TLS = &tls.Config{InsecureSkipVerify: true} }
	}
	if seed%2 == 1 {
		o.forward = func(f *Forward) {
			f.Buffer = Buffering{Request: 100_000, Response: 100_000}
			f.Timed = true
		}
	}
	b := start(t, o, backends...)
	var clients sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() {
			for n := range 10 {
				randomClient(t, b.address, fmt.Sprintf("%d-%d-%d", seed, i, n), random)
			}
		})
	}
	clients.Wait()
	lbtest.Eventually(t, "no request waits for a response", func() bool {
		for _, backend := range b.pool.Backends() {
			if !backend.Latency(backend.Now()).Idle {
				return false
			}
		}
		return true
	})
}

// randomBackend responds to each request with its target, repeated, as the body, in one of many ways.
func randomBackend(c *lbtest.Conn, roll func(int) int) {
	for {
		if roll(20) == 0 {
			c.Reset()
			return
		}
		head, body := c.ReadRequest()
		if head == "" {
			return
		}
		target, _, _ := strings.Cut(strings.TrimPrefix(head[strings.IndexByte(head, ' ')+1:], "/"), " ")
		if strings.HasPrefix(head, "POST ") && body != strings.Repeat(target, len(body)/len(target)) {
			c.Send("HTTP/1.1 500 Mixed\r\nContent-Length: 0\r\n\r\n")
			return
		}
		content := strings.Repeat(target+"|", 1+roll(4)*roll(4000))
		var response string
		switch roll(4) {
		case 0:
			response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(content), content)
		case 1:
			response = "HTTP/1.1 200 OK\r\n\r\n" + content
		default:
			response = lbtest.OK(content)
		}
		switch roll(6) {
		case 0:
			c.SendPieces(response, max(1+roll(5000), len(response)/200)) // thousands of pieces take seconds
		case 1:
			half := roll(len(response))
			c.Send(response[:half])
			time.Sleep(time.Duration(roll(5)) * time.Millisecond) // a schedule, not a wait for something
			c.Send(response[half:])
		case 2:
			c.Send(response[:roll(len(response))])
			if roll(2) == 0 {
				c.Reset()
			}
			return
		default:
			c.Send(response)
		}
		if strings.HasPrefix(response, "HTTP/1.1 200 OK\r\n\r\n") {
			return
		}
	}
}

// randomClient sends some requests on one connection and reads a random part of the responses.
func randomClient(t *testing.T, address, name string, random *rand.Rand) {
	c := lbtest.Dial(t, address)
	defer c.Close()
	var requests []string
	var all strings.Builder
	for i := range 1 + random.IntN(4) {
		target := fmt.Sprintf("%s-%d", name, i)
		requests = append(requests, target)
		body := strings.Repeat(target, random.IntN(3)*random.IntN(5000))
		switch random.IntN(3) {
		case 0:
			fmt.Fprintf(&all, "POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
		case 1:
			fmt.Fprintf(&all, "POST /%s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", target)
			if body != "" {
				fmt.Fprintf(&all, "%x\r\n%s\r\n", len(body), body)
			}
			all.WriteString("0\r\n\r\n")
		default:
			all.WriteString(get("/" + target))
		}
	}
	text := all.String()
	if random.IntN(10) == 0 {
		text = text[:random.IntN(len(text))]
	}
	var sending sync.WaitGroup
	defer sending.Wait()
	piece := 1 + random.IntN(1+len(text))
	half := random.IntN(5) == 0
	sending.Go(func() {
		c.SendPieces(text, max(piece, len(text)/50+1))
		if half {
			c.CloseWrite()
		}
	})
	defer c.Close()
	if len(text) < all.Len() {
		return
	}
	for _, target := range requests {
		if random.IntN(10) == 0 {
			c.Reset()
			return
		}
		began := time.Now()
		r := c.ReadResponse("GET")
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("the response to %s of %q did not come in %v: %q, %d bytes, %v", target, requests, waited, r.Head, len(r.Body), r.Err)
		}
		// A body that the end of a connection ends may be cut.
		if r.Status() == 200 && r.Body != strings.Repeat(target+"|", 1+len(r.Body)/(len(target)+1))[:len(r.Body)] {
			t.Errorf("the response to %s is %.200q", target, r.Body)
		}
		if r.Status() == 500 {
			t.Errorf("the request %s came mixed with another", target)
		}
		if r.Err != nil || r.Status() != 200 {
			return
		}
	}
}
